//! What an operation takes. Each one has a table; the table is checked here, before the operation is called.

use super::error::StripeError;
use super::form::Form;

/// One parameter. `[]` in its name stands for any number, `[*]` for any key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param {
    name: &'static str,
    kind: Type,
    required: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    Text,
    /// A text that an empty one clears.
    Clearable,
    /// An id of some object; whether there is such an object is the operation's question.
    Id,
    /// An id that an empty text clears.
    ClearableId,
    Integer,
    Boolean,
    /// Unix seconds.
    Timestamp,
    OneOf(&'static [&'static str]),
    Currency,
    Email,
    Url,
    Metadata,
    /// A parameter that this version refuses by its name.
    NoPaymentMethodTypes,
}

impl Param {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// A parameter that must be given.
pub(crate) const fn need(name: &'static str, kind: Type) -> Param {
    Param { name, kind, required: true }
}

/// A parameter that may be given.
pub(crate) const fn may(name: &'static str, kind: Type) -> Param {
    Param { name, kind, required: false }
}

pub(crate) const PAGE: &[Param] =
    &[may("limit", Type::Integer), may("starting_after", Type::Id), may("ending_before", Type::Id)];

pub(crate) const CREATED: &[Param] = &[
    may("created", Type::Timestamp),
    may("created[gt]", Type::Timestamp),
    may("created[gte]", Type::Timestamp),
    may("created[lt]", Type::Timestamp),
    may("created[lte]", Type::Timestamp),
];

pub(crate) const METADATA: &[Param] = &[may("metadata", Type::Metadata), may("metadata[*]", Type::Metadata)];

/// Refuses what the tables do not have, what is ill-typed and what is missing. `expand` goes with every operation.
pub(crate) fn check(form: &Form, tables: &[&[Param]]) -> Result<(), StripeError> {
    for (name, value) in form.iter() {
        if matches_pattern(name, "expand[]") {
            continue;
        }
        let known = tables.iter().flat_map(|table| table.iter()).find(|param| matches_pattern(name, param.name));
        let Some(param) = known else {
            let message = format!("Received unknown parameter: {name}");
            return Err(StripeError::invalid("parameter_unknown", Some(name), message));
        };
        typed(name, value, param.kind)?;
    }
    let missing = tables.iter().flat_map(|table| table.iter()).find(|param| param.required && !form.has(param.name));
    match missing {
        None => Ok(()),
        Some(param) => {
            let message = format!("Missing required param: {}.", param.name);
            Err(StripeError::invalid("parameter_missing", Some(param.name), message))
        }
    }
}

fn matches_pattern(name: &str, pattern: &str) -> bool {
    let (mut name, mut pattern) = (name.split('['), pattern.split('['));
    loop {
        match (name.next(), pattern.next()) {
            (None, None) => return true,
            (Some(given), Some("]")) if digits(given.trim_end_matches(']')) => {}
            // The check of the type says what a key may be.
            (Some(_), Some("*]")) => return true,
            (Some(given), Some(part)) if given == part => {}
            _ => return false,
        }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn typed(name: &str, value: &str, kind: Type) -> Result<(), StripeError> {
    match kind {
        Type::Clearable | Type::ClearableId | Type::Metadata | Type::NoPaymentMethodTypes => {}
        _ if value.is_empty() => return Err(empty(name)),
        _ => {}
    }
    match kind {
        Type::Text | Type::Clearable => length(name, value, 5_000),
        Type::Id | Type::ClearableId => id(name, value),
        Type::Integer => integer(name, value).map(|_| ()),
        Type::Timestamp => timestamp(name, value),
        Type::Boolean => boolean(name, value),
        Type::OneOf(known) => one_of(name, value, known),
        Type::Currency => currency(name, value),
        Type::Email => email(name, value),
        Type::Url => web_address(name, value),
        Type::Metadata => metadata(name, value),
        Type::NoPaymentMethodTypes => {
            let message = "payment_method_types is no longer supported; use automatic_payment_methods";
            let code = "payment_method_types_no_longer_supported";
            Err(StripeError::invalid(code, Some("payment_method_types"), message))
        }
    }
}

fn empty(name: &str) -> StripeError {
    let message = format!(
        "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however \
         '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    );
    StripeError::invalid("parameter_invalid_empty", Some(name), message)
}

fn length(name: &str, value: &str, most: usize) -> Result<(), StripeError> {
    if value.chars().count() > most {
        let message = format!("Invalid string: '{name}' must be at most {most} characters");
        return Err(StripeError::invalid("parameter_invalid_string_length", Some(name), message));
    }
    Ok(())
}

fn id(name: &str, value: &str) -> Result<(), StripeError> {
    length(name, value, 255)?;
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
        return Err(StripeError::bad(Some(name), format!("Invalid id: {value}")));
    }
    Ok(())
}

fn integer(name: &str, value: &str) -> Result<i64, StripeError> {
    value
        .parse()
        .map_err(|_| StripeError::invalid("parameter_invalid_integer", Some(name), format!("Invalid integer: {value}")))
}

fn timestamp(name: &str, value: &str) -> Result<(), StripeError> {
    // The year 2100: what lies beyond was given in milliseconds.
    if !(0..4_102_444_800).contains(&integer(name, value)?) {
        let message = format!("Invalid timestamp: {value} must be in seconds since the epoch");
        return Err(StripeError::invalid("parameter_invalid_integer", Some(name), message));
    }
    Ok(())
}

fn boolean(name: &str, value: &str) -> Result<(), StripeError> {
    if matches!(value, "true" | "false") {
        return Ok(());
    }
    Err(StripeError::bad(Some(name), format!("Invalid boolean: {value}")))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), StripeError> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(StripeError::bad(Some(name), format!("Invalid {name}: must be one of {}", known.join(", "))))
}

fn currency(name: &str, value: &str) -> Result<(), StripeError> {
    if value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(StripeError::invalid("parameter_invalid", Some(name), format!("Invalid currency: {value}")))
}

fn email(name: &str, value: &str) -> Result<(), StripeError> {
    if value.contains('@') && value.chars().count() <= 512 {
        return Ok(());
    }
    Err(StripeError::invalid("email_invalid", Some(name), format!("Invalid email address: {value}")))
}

fn web_address(name: &str, value: &str) -> Result<(), StripeError> {
    if url::Url::parse(value).is_ok() {
        return Ok(());
    }
    Err(StripeError::invalid("url_invalid", Some(name), "Not a valid URL"))
}

fn metadata(name: &str, value: &str) -> Result<(), StripeError> {
    let Some(key) = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) else {
        return if value.is_empty() {
            Ok(())
        } else {
            Err(StripeError::bad(Some("metadata"), "Invalid object: metadata has keys"))
        };
    };
    if key.is_empty() || key.chars().count() > 40 || key.contains(['[', ']']) {
        let message = "Metadata keys have 1 to 40 characters and no square brackets";
        return Err(StripeError::invalid("parameter_invalid_string_key", Some(name), message));
    }
    if value.chars().count() > 500 {
        let message = "Metadata values can have up to 500 characters";
        return Err(StripeError::invalid("parameter_invalid_string_length", Some(name), message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Param] = &[
        need("currency", Type::Currency),
        may("items[0][price]", Type::Id),
        may("lookup_keys[]", Type::Text),
        may("limit", Type::Integer),
        may("ending", Type::OneOf(&["a", "b"])),
        may("email", Type::Clearable),
    ];

    fn refusal(query: &str) -> String {
        match check(&Form::parse(query.as_bytes()), &[TABLE, METADATA]) {
            Ok(()) => "fine".to_owned(),
            Err(error) => format!("{} {}", error.body()["error"]["code"], error.body()["error"]["param"]),
        }
    }

    #[test]
    fn a_table_says_what_is_refused() {
        let fine = "currency=sek&items[0][price]=p&lookup_keys[]=a&lookup_keys[]=b&expand[0]=x&email=&metadata[k]=v";
        assert_eq!(refusal(fine), "fine");
        assert_eq!(refusal("limit=1"), r#""parameter_missing" "currency""#);
        assert_eq!(refusal("currency=sek&items[1][price]=p"), r#""parameter_unknown" "items[1][price]""#);
        assert_eq!(refusal("currency=sek&items=p"), r#""parameter_unknown" "items""#);
        assert_eq!(refusal("currency=sek&lookup_keys[a]=p"), r#""parameter_unknown" "lookup_keys[a]""#);
        assert_eq!(refusal("currency=sek&limit=1.5"), r#""parameter_invalid_integer" "limit""#);
        assert_eq!(refusal("currency=sek&limit="), r#""parameter_invalid_empty" "limit""#);
        assert_eq!(refusal("currency=sek&ending=c"), r#"null "ending""#);
        assert_eq!(refusal("currency=kronor"), r#""parameter_invalid" "currency""#);
        assert_eq!(refusal("currency=sek&metadata[a][b]=c"), r#""parameter_invalid_string_key" "metadata[a][b]""#);
        assert_eq!(refusal("currency=sek&metadata=x"), r#"null "metadata""#);
    }

    #[test]
    fn an_array_without_numbers_is_numbered() {
        let form = Form::parse(b"expand[]=a&expand[]=b&items[][price]=p");
        assert_eq!(form.items("expand"), ["a", "b"]);
        assert_eq!(form.get("items[0][price]"), Some("p"));
    }
}
