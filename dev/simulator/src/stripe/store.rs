//! The objects, by kind: found by id at once, listed in the order they were made.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What Stripe calls a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Charge,
    Customer,
    Dispute,
    Event,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    Refund,
    SetupIntent,
    Subscription,
    WebhookEndpoint,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Charge,
        Self::Customer,
        Self::Dispute,
        Self::Event,
        Self::Invoice,
        Self::InvoicePayment,
        Self::PaymentIntent,
        Self::PaymentMethod,
        Self::Price,
        Self::Product,
        Self::Refund,
        Self::SetupIntent,
        Self::Subscription,
        Self::WebhookEndpoint,
    ];

    /// As it stands in a URL: `payment_intents`.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Charge => "charges",
            Self::Customer => "customers",
            Self::Dispute => "disputes",
            Self::Event => "events",
            Self::Invoice => "invoices",
            Self::InvoicePayment => "invoice_payments",
            Self::PaymentIntent => "payment_intents",
            Self::PaymentMethod => "payment_methods",
            Self::Price => "prices",
            Self::Product => "products",
            Self::Refund => "refunds",
            Self::SetupIntent => "setup_intents",
            Self::Subscription => "subscriptions",
            Self::WebhookEndpoint => "webhook_endpoints",
        }
    }

    pub(crate) fn from_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    /// As Stripe's messages call it: `No such PaymentMethod: …`.
    pub(crate) fn spoken(self) -> &'static str {
        match self {
            Self::PaymentMethod => "PaymentMethod",
            Self::SetupIntent => "setupintent",
            Self::InvoicePayment => "invoice payment",
            other => other.plural().trim_end_matches('s'),
        }
    }
}

/// The objects of one kind. In the state file it is a list; the index is made anew.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Value>", into = "Vec<Value>")]
struct Table {
    objects: Vec<Value>,
    index: HashMap<String, usize>,
}

impl Clone for Table {
    fn clone(&self) -> Self {
        self.objects.clone().into()
    }
}

impl From<Vec<Value>> for Table {
    fn from(objects: Vec<Value>) -> Self {
        let index = objects.iter().enumerate().map(|(place, object)| (id_of(object).to_owned(), place)).collect();
        Self { objects, index }
    }
}

impl From<Table> for Vec<Value> {
    fn from(table: Table) -> Self {
        table.objects
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Store {
    tables: BTreeMap<Kind, Table>,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cursor<'a> {
    Newest,
    /// Older than this one.
    After(&'a str),
    /// Newer than this one, and next to it.
    Before(&'a str),
}

impl Store {
    /// A new object goes to the end of its table; a known one keeps its place.
    pub(crate) fn put(&mut self, kind: Kind, object: Value) {
        let table = self.tables.entry(kind).or_default();
        match table.index.get(id_of(&object)) {
            Some(&place) => table.objects[place] = object,
            None => {
                table.index.insert(id_of(&object).to_owned(), table.objects.len());
                table.objects.push(object);
            }
        }
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Value> {
        let table = self.tables.get(&kind)?;
        table.index.get(id).map(|&place| &table.objects[place])
    }

    pub(crate) fn get_mut(&mut self, kind: Kind, id: &str) -> Option<&mut Value> {
        let table = self.tables.get_mut(&kind)?;
        let place = *table.index.get(id)?;
        table.objects.get_mut(place)
    }

    /// In the order they were made.
    pub(crate) fn all(&self, kind: Kind) -> &[Value] {
        self.tables.get(&kind).map_or(&[], |table| &table.objects)
    }

    /// A page, newest first, and whether there is more. `None`: there is no object that the cursor names.
    pub(crate) fn page(
        &self,
        kind: Kind,
        cursor: Cursor<'_>,
        limit: usize,
        keep: &dyn Fn(&Value) -> bool,
    ) -> Option<(Vec<Value>, bool)> {
        let place = |id: &str| self.tables.get(&kind).and_then(|table| table.index.get(id)).copied();
        let objects = self.all(kind);
        let wanted = |object: &&Value| keep(object);
        let mut found: Vec<Value> = match cursor {
            Cursor::Newest => objects.iter().rev().filter(wanted).take(limit + 1).cloned().collect(),
            Cursor::After(id) => objects[..place(id)?].iter().rev().filter(wanted).take(limit + 1).cloned().collect(),
            Cursor::Before(id) => objects[place(id)? + 1..].iter().filter(wanted).take(limit + 1).cloned().collect(),
        };
        let has_more = found.len() > limit;
        found.truncate(limit);
        if matches!(cursor, Cursor::Before(_)) {
            found.reverse();
        }
        Some((found, has_more))
    }
}

pub(crate) fn id_of(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_default()
}

/// A text of an object, or nothing.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// A number of an object, or 0.
pub(crate) fn number(object: &Value, field: &str) -> i64 {
    object[field].as_i64().unwrap_or_default()
}

/// What the simulator remembers about an object and nobody is shown.
pub(crate) const OURS: &str = "_simulator";

/// The object as Stripe shows it.
pub(crate) fn shown(mut object: Value) -> Value {
    hide(&mut object);
    object
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove(OURS);
            fields.values_mut().for_each(hide);
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(page: Option<(Vec<Value>, bool)>) -> (Vec<String>, bool) {
        let (objects, more) = page.unwrap();
        (objects.iter().map(|object| id_of(object).to_owned()).collect(), more)
    }

    #[test]
    fn pages_go_both_ways_and_survive_the_state_file() {
        let mut store = Store::default();
        for n in 0..6 {
            store.put(Kind::Refund, json!({ "id": format!("re_{n}"), "odd": n % 2 == 1 }));
        }
        store.put(Kind::Refund, json!({ "id": "re_1", "odd": true, "changed": true }));
        let store: Store = serde_json::from_str(&serde_json::to_string(&store).unwrap()).unwrap();
        let any = |_: &Value| true;
        assert_eq!(ids(store.page(Kind::Refund, Cursor::Newest, 2, &any)), (vec!["re_5".into(), "re_4".into()], true));
        assert_eq!(
            ids(store.page(Kind::Refund, Cursor::After("re_2"), 9, &any)),
            (vec!["re_1".into(), "re_0".into()], false)
        );
        assert_eq!(
            ids(store.page(Kind::Refund, Cursor::Before("re_1"), 2, &any)),
            (vec!["re_3".into(), "re_2".into()], true)
        );
        let odd = |object: &Value| object["odd"] == true;
        assert_eq!(ids(store.page(Kind::Refund, Cursor::After("re_5"), 1, &odd)), (vec!["re_3".into()], true));
        assert!(store.page(Kind::Refund, Cursor::After("re_x"), 1, &any).is_none());
        assert_eq!(store.get(Kind::Refund, "re_1").unwrap()["changed"], true);
    }
}
