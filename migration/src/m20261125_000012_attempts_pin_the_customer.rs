//! An attempt names the Stripe customer that it was made for: every try and look-up names the same one.
//!
//! After a certain refusal, and only then, an intent may be tried under a new key: a job can have one attempt that
//! was not rejected, and any number of rejected ones.

crate::sql_migration! {
    up: r#"
ALTER TABLE attempts ADD COLUMN stripe_customer_id text;
ALTER TABLE attempts DROP CONSTRAINT attempts_job_id_operation_key;
CREATE UNIQUE INDEX attempts_open ON attempts (job_id, operation) WHERE outcome <> 'rejected';
CREATE INDEX attempts_by_job ON attempts (job_id);
"#,
    down: r#"
DELETE FROM attempts AS old USING attempts AS new
    WHERE old.job_id = new.job_id AND old.operation = new.operation AND old.id < new.id;
DROP INDEX attempts_by_job;
DROP INDEX attempts_open;
ALTER TABLE attempts ADD CONSTRAINT attempts_job_id_operation_key UNIQUE (job_id, operation);
ALTER TABLE attempts DROP COLUMN stripe_customer_id;
"#,
}
