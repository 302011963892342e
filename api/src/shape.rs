//! What the document's schemas ask for, in words, and what of a JSON body is not of the shape that they ask for.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::Value;

use crate::json::escape;
use crate::problem::FieldError;

/// The shape of a type of body.
pub(crate) struct Shape {
    registry: Registry,
    root: MetaSchemaRef,
}

/// Each is made once.
static SHAPES: LazyLock<Mutex<HashMap<TypeId, Arc<Shape>>>> = LazyLock::new(Mutex::default);

impl Shape {
    pub(crate) fn of<T: Type + 'static>() -> Arc<Self> {
        let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = shapes.entry(TypeId::of::<T>()).or_insert_with(|| {
            let mut registry = Registry::new();
            T::register(&mut registry);
            Arc::new(Self { registry, root: T::schema_ref() })
        });
        shape.clone()
    }

    /// Whether something must be given.
    pub(crate) fn needs_something(&self) -> bool {
        resolve(&self.registry, &self.root).is_none_or(|schema| !schema.required.is_empty())
    }

    /// What is of another type than it should be, missing, or not asked for.
    pub(crate) fn faults(&self, body: &Value) -> Vec<FieldError> {
        let mut faults = Vec::new();
        self.compare(body, &self.root, "", &mut faults);
        faults
    }

    fn compare(&self, value: &Value, schema: &MetaSchemaRef, pointer: &str, faults: &mut Vec<FieldError>) {
        let Some(schema) = resolve(&self.registry, schema) else { return };
        let mut fault = |pointer: String, detail: String| faults.push(FieldError { pointer, detail });
        if !fits(value, schema) {
            return fault(pointer.to_owned(), wrong(value, schema));
        }
        let Value::Object(fields) = value else { return };
        let at = |name: &str| format!("{pointer}/{}", escape(name));
        if let Some(of_all) = &schema.additional_properties {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                self.compare(value, of_all, &at(name), faults);
            }
            return;
        }
        if schema.properties.is_empty() {
            return;
        }
        for (name, schema_of_field) in &schema.properties {
            let required = schema.required.contains(name);
            match fields.get(*name) {
                None if required => faults.push(FieldError { pointer: at(name), detail: "must be given".to_owned() }),
                // Whether a field may be null is not in its schema.
                Some(Value::Null) if !required => {}
                None => {}
                Some(value) => self.compare(value, schema_of_field, &at(name), faults),
            }
        }
        let known: Vec<&str> = schema.properties.iter().map(|(name, _)| *name).collect();
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let detail = format!("there is no such field; there are {}", known.join(", "));
            faults.push(FieldError { pointer: at(name), detail });
        }
    }

    /// What is wrong with the value at the end of these keys, which could not be read.
    pub(crate) fn wrong_at(&self, body: &Value, keys: &[String]) -> String {
        let (mut value, mut schema) = (Some(body), resolve(&self.registry, &self.root));
        for key in keys {
            value = value.and_then(|value| value.get(key));
            schema = schema
                .and_then(|schema| {
                    let field = schema.properties.iter().find(|(name, _)| name == key).map(|(_, schema)| schema);
                    field.or(schema.additional_properties.as_deref())
                })
                .and_then(|schema| resolve(&self.registry, schema));
        }
        schema.map_or_else(|| "cannot be accepted".to_owned(), |schema| wrong(value.unwrap_or(&Value::Null), schema))
    }
}

/// The schema itself: where it is referred to, and where something was added to a reference.
pub(crate) fn resolve<'a>(registry: &'a Registry, schema: &'a MetaSchemaRef) -> Option<&'a MetaSchema> {
    match schema {
        MetaSchemaRef::Reference(name) => registry.schemas.get(name),
        MetaSchemaRef::Inline(schema) if schema.ty.is_empty() => {
            schema.all_of.first().and_then(|schema| resolve(registry, schema))
        }
        MetaSchemaRef::Inline(schema) => Some(schema),
    }
}

/// Whether it is of the schema's type; its size and its form are looked at elsewhere.
fn fits(value: &Value, schema: &MetaSchema) -> bool {
    match schema.ty {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string() && (schema.enum_items.is_empty() || schema.enum_items.contains(value)),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

fn wrong(value: &Value, schema: &MetaSchema) -> String {
    let huge = value.as_f64().is_some_and(|number| number.abs() > f64::from(i32::MAX));
    if schema.ty == "integer" && huge {
        return range(schema).unwrap_or_else(|| "is out of range".to_owned());
    }
    expected(schema)
}

/// What a value of the schema must be.
pub(crate) fn expected(schema: &MetaSchema) -> String {
    if !schema.enum_items.is_empty() {
        let items: Vec<&str> = schema.enum_items.iter().filter_map(Value::as_str).collect();
        return format!("must be one of {}", items.join(", "));
    }
    let must_be = match (schema.ty, schema.format) {
        ("string", Some("uuid")) => "a UUID",
        ("string", Some("date-time")) => "an RFC 3339 time, as in 2026-01-01T00:00:00Z",
        ("string", _) => "a text",
        ("integer", _) => "a whole number",
        ("number", _) => "a number",
        ("boolean", _) => "true or false",
        ("object", _) => "an object",
        ("array", _) => "a list",
        _ => return "cannot be accepted".to_owned(),
    };
    format!("must be {must_be}")
}

/// The bounds of the schema, if it has both; or what its texts look like.
pub(crate) fn range(schema: &MetaSchema) -> Option<String> {
    match (schema.minimum, schema.maximum, &schema.pattern) {
        (Some(minimum), Some(maximum), _) => Some(format!("must be between {minimum} and {maximum}")),
        (_, _, Some(pattern)) => Some(format!("must match {pattern}")),
        _ => None,
    }
}
