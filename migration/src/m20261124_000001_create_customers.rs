//! A customer is the user of a token, as the providers know them.

crate::sql_migration! {
    up: r#"
CREATE TABLE customers (
    id                 uuid PRIMARY KEY,
    user_id            text NOT NULL UNIQUE,
    email              text,
    name               text,
    stripe_customer_id text UNIQUE,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
"#,
    down: "DROP TABLE customers;",
}
