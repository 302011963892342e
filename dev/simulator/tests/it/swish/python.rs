//! A client that shares no code with us: Python's standard library.

use std::path::Path;
use std::process::Stdio;

use super::{Merchant, moves};

#[tokio::test]
async fn a_client_in_python_pays_cancels_and_refunds() {
    let merchant = Merchant::open().await;
    let certificates = merchant.swish.certificates();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/swish/client.py");
    let run = tokio::process::Command::new("python3")
        .arg(script)
        .args([merchant.swish.url(), merchant.swish.control_url(), merchant.inbox.url.clone()])
        .args([&certificates.ca, &certificates.certificate, &certificates.key])
        .stdin(Stdio::null())
        .output()
        .await;
    let run = match run {
        Ok(run) => run,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("there is no python3 here: nothing was tested");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}{errors}", String::from_utf8_lossy(&run.stdout));
    assert_eq!(merchant.moved(), moves(&[("charge", 19_950), ("refund", 5_025)]));
    merchant.settle().await;
    assert_eq!(merchant.inbox.statuses(), ["CANCELLED", "PAID", "DEBITED", "PAID"]);
}
