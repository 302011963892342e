//! `make demo`: a payment through the running stack, step by step.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::places::dev_dir;

struct Shop {
    http: reqwest::Client,
    api: String,
    token: String,
}

/// # Errors
/// No stack runs, or the payment did not go as it should.
pub async fn demo() -> Result<()> {
    let text = std::fs::read_to_string(dev_dir()?.join("stack.json"))
        .context("no stack runs in this directory; start one with `make run`")?;
    let stack: Value = serde_json::from_str(&text)?;
    let field = |name: &str| stack[name].as_str().map(str::to_owned);
    let shop = Shop {
        http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?,
        api: field("api_url").context("stack.json has no api_url")?,
        token: field("token").context("stack.json has no token")?,
    };
    let Some(simulator) = field("stripe_simulator_url") else {
        bail!("the demo plays the payer's browser against the simulator, and this stack uses the real Stripe");
    };
    let began = Instant::now();
    let say = |text: &str| println!("{:>7.3} s  {text}", began.elapsed().as_secs_f64());

    println!("A shop takes 199.00 SEK.\n");
    let payment = shop
        .create(json!({
            "provider": "stripe", "amount": 19_900, "currency": "sek", "description": "A demonstration",
        }))
        .await?;
    let id = payment["id"].as_str().context("no id")?.to_owned();
    say(&format!("POST /api/payments answered: {id} is {}", payment["status"]));
    let secret = payment["client_secret"].as_str().context("no client_secret")?;
    say("the client_secret went to the payer's browser; the payer types in a card");
    let intent = payment["provider_payment_id"].as_str().context("no provider_payment_id")?;
    let confirmed = shop
        .http
        .post(format!("{simulator}/v1/payment_intents/{intent}/confirm"))
        .bearer_auth("pk_test_browser")
        .form(&[
            ("client_secret", secret),
            ("payment_method", "pm_card_visa"),
            ("return_url", "https://shop.example/thanks"),
        ])
        .send()
        .await?
        .error_for_status()?;
    let confirmed: Value = confirmed.json().await?;
    say(&format!("Stripe told the browser: {}", confirmed["status"]));
    let payment = shop.wait_until(&id, "succeeded").await?;
    say(&format!("Stripe's signed webhook told us: {id} is {}", payment["status"]));
    shop.print_timeline(&id).await?;

    println!("\nAnother card is declined.\n");
    let payment = shop
        .create(json!({
            "provider": "stripe", "amount": 19_900, "currency": "sek", "payment_method": "pm_card_chargeDeclined",
        }))
        .await?;
    let id = payment["id"].as_str().context("no id")?.to_owned();
    say(&format!("POST /api/payments answered: {id} is {}: {}", payment["status"], payment["failure"]));
    shop.print_timeline(&id).await
}

impl Shop {
    async fn create(&self, body: Value) -> Result<Value> {
        let answer = self
            .http
            .post(format!("{}/api/payments", self.api))
            .bearer_auth(&self.token)
            .header("Prefer", "wait=10")
            .json(&body)
            .send()
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status != reqwest::StatusCode::CREATED {
            bail!("expected 201, got {status}: {body}");
        }
        Ok(body)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.api)).bearer_auth(&self.token).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn wait_until(&self, id: &str, status: &str) -> Result<Value> {
        for _ in 0..200 {
            let payment = self.get(&format!("/api/payments/{id}")).await?;
            if payment["status"] == status {
                return Ok(payment);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{id} was not {status} within ten seconds")
    }

    async fn print_timeline(&self, id: &str) -> Result<()> {
        // The webhook of a payment that is settled already may still be on its way.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let timeline = self.get(&format!("/api/payments/{id}/timeline")).await?;
        println!("\n  The timeline of {id}:");
        for step in timeline["data"].as_array().into_iter().flatten() {
            let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
            let time = text("created_at");
            let time = time.get(11..23).unwrap_or(&time);
            println!("  {time}  {:<17} {:<8} {:<34} {}", text("status"), text("actor"), text("cause"), text("detail"));
        }
        Ok(())
    }
}
