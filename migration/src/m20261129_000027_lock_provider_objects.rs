//! Whether events were put aside for an object is seen in the same round trip that locks it: a function that may change
//! things sees, in each of its statements, what was committed by then.

crate::sql_migration! {
    up: r#"
CREATE FUNCTION lock_provider_object(object text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(object, 0));
    RETURN EXISTS (SELECT FROM provider_events WHERE outcome = 'ignored' AND object_id = object);
END $$;
"#,
    down: r#"
DROP FUNCTION lock_provider_object(text);
"#,
}
