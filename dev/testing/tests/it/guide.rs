//! The guide's blocks, run as one script: what it says, works.

use std::process::Stdio;

use serde_json::json;
use testing::{TestApp, token};

#[tokio::test]
async fn every_block_of_the_guide_works() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let guide =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide.md")).expect("the guide");
    let blocks: Vec<&str> =
        guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    let stack = std::env::temp_dir().join(format!("payment-guide-{}.json", app.queue_prefix));
    let addresses = json!({
        "api_url": app.api_url, "token": token("anna"), "admin_token": token("root"),
        "stripe_simulator_url": app.simulator.url(), "swish_control_url": app.swish.control_url(),
    });
    std::fs::write(&stack, addresses.to_string()).expect("written");
    let script = format!("set -euo pipefail\n{}", blocks.concat());
    let child = tokio::process::Command::new("bash")
        .args(["-c", &script])
        .env("STACK_JSON", &stack)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash");
    let _ = std::fs::remove_file(&stack);
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}\n{err}");
    assert!(out.contains("refund_exceeds_captured"), "{out}");
    worker.stop().await;
}
