//! The payer's telephone: a page for each open request, with a button to pay and one to decline.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::web::{Data, Path};
use poem::{Response, Route, get, handler, post};

use super::model::{Payment, Status, decimal};
use super::payments::LIFE_MS;
use super::world::SwishWorld;

const STYLE: &str = "
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;font:16px/1.5 system-ui,sans-serif;
background:#eef1f4;color:#16202a}
main{width:100%;max-width:24rem;background:#fff;border-radius:1.25rem;padding:2rem 1.75rem;
box-shadow:0 10px 40px rgb(20 40 60/.14)}
h1{margin:0 0 1.25rem;font-size:.8rem;letter-spacing:.08em;text-transform:uppercase;color:#5b6b7a;font-weight:600}
.amount{font-size:2.6rem;font-weight:700;line-height:1.1;margin:0}
.amount small{font-size:1.1rem;font-weight:500;color:#5b6b7a}
dl{margin:1.5rem 0;display:grid;grid-template-columns:auto 1fr;gap:.4rem 1.25rem}
dt{color:#5b6b7a}dd{margin:0;text-align:right;overflow-wrap:anywhere}
form{margin:.6rem 0 0}
button{width:100%;padding:.85rem;border:0;border-radius:.8rem;font:inherit;font-weight:600;cursor:pointer;
background:#e6eaee;color:#16202a}
button.pay{background:#1f7a4d;color:#fff}
button:focus-visible,a:focus-visible{outline:3px solid #4c9be8;outline-offset:2px}
.result{margin:0;padding:.9rem;border-radius:.8rem;text-align:center;font-weight:600;background:#f6e3e1;color:#8c2318}
.result.paid{background:#dcf1e5;color:#14603a}
ul{list-style:none;margin:0;padding:0}li a{display:flex;justify-content:space-between;gap:1rem;padding:.8rem 0;
color:inherit;text-decoration:none;border-top:1px solid #dde3e8}
@media(prefers-color-scheme:dark){body{background:#10161c;color:#e8edf2}main{background:#1a232c;box-shadow:none}
h1,dt,.amount small{color:#93a3b2}button{background:#2b3742;color:#e8edf2}li a{border-color:#2b3742}
.result{background:#47211d;color:#f5b7b0}.result.paid{background:#173f2b;color:#a5e3c1}}
";

pub(super) fn routes(control: Route) -> Route {
    Route::new()
        .nest("/_control", control)
        .at("/", get(open_requests))
        .at("/pay/:id", get(show))
        .at("/pay/:id/approve", post(approve))
        .at("/pay/:id/decline", post(decline))
}

fn page(status: StatusCode, refresh: bool, content: &str) -> Response {
    let refresh = if refresh { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
         <title>Simulated Swish</title><style>{STYLE}</style></head><body><main>{content}</main></body></html>"
    );
    Response::builder()
        .status(status)
        .content_type("text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .body(html)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn no_such_request() -> Response {
    let content = "<h1>Simulated Swish</h1><p class=\"result\">There is no such request.</p>";
    page(StatusCode::NOT_FOUND, false, content)
}

#[handler]
fn open_requests(Data(world): Data<&Arc<SwishWorld>>) -> Response {
    let open = world.payments().into_iter().filter(|payment| payment.status == Status::Created);
    let items: String = open
        .map(|payment| {
            let from = escaped(payment.payer_alias.as_deref().unwrap_or("in the app"));
            format!(
                "<li><a href=\"/pay/{}\"><span>{from}</span><strong>{} {}</strong></a></li>",
                escaped(&payment.id),
                decimal(payment.amount),
                escaped(&payment.currency)
            )
        })
        .collect();
    let items = if items.is_empty() { "<p>Nobody asks for money.</p>".to_owned() } else { format!("<ul>{items}</ul>") };
    page(StatusCode::OK, true, &format!("<h1>Simulated Swish: open requests</h1>{items}"))
}

#[handler]
fn show(Data(world): Data<&Arc<SwishWorld>>, Path(id): Path<String>) -> Response {
    match world.payment(&id) {
        Some(payment) => page(StatusCode::OK, payment.status == Status::Created, &request(world, &payment)),
        None => no_such_request(),
    }
}

fn request(world: &SwishWorld, payment: &Payment) -> String {
    let mut facts = vec![("To", payment.payee_alias.clone())];
    facts.extend(payment.payer_alias.clone().map(|payer| ("From", payer)));
    facts.extend(payment.message.clone().map(|message| ("Message", message)));
    facts.extend(payment.payee_payment_reference.clone().map(|reference| ("Reference", reference)));
    let open = payment.status == Status::Created;
    if open {
        let left = ((payment.created + LIFE_MS).div_euclid(1_000) - world.now()).max(0);
        facts.push(("Time left", format!("{}:{:02}", left / 60, left % 60)));
    }
    let facts: String =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(value))).collect();
    let id = escaped(&payment.id);
    let end = if open {
        format!(
            "<form method=\"post\" action=\"/pay/{id}/approve\"><button class=\"pay\">Pay</button></form>\
             <form method=\"post\" action=\"/pay/{id}/decline\"><button>Decline</button></form>"
        )
    } else {
        result(payment)
    };
    format!(
        "<h1>Simulated Swish</h1><p class=\"amount\">{} <small>{}</small></p><dl>{facts}</dl>{end}",
        decimal(payment.amount),
        escaped(&payment.currency)
    )
}

fn result(payment: &Payment) -> String {
    let class = if payment.status == Status::Paid { "result paid" } else { "result" };
    let text = match payment.status {
        Status::Paid => "Paid".to_owned(),
        Status::Declined => "Declined".to_owned(),
        Status::Cancelled => "Cancelled by the merchant".to_owned(),
        Status::Created | Status::Debited | Status::Error => {
            let code = payment.error_code.as_deref().unwrap_or_default();
            format!("Failed: {} ({code})", payment.error_message.as_deref().unwrap_or_default())
        }
    };
    format!("<p class=\"{class}\" role=\"status\">{}</p>", escaped(&text))
}

/// Back to the page, which shows what came of it.
fn back(world: &SwishWorld, id: &str) -> Response {
    match world.payment(id) {
        Some(payment) => Response::builder()
            .status(StatusCode::SEE_OTHER)
            .header("location", format!("/pay/{}", payment.id))
            .finish(),
        None => no_such_request(),
    }
}

#[handler]
fn approve(Data(world): Data<&Arc<SwishWorld>>, Path(id): Path<String>) -> Response {
    // One that is final shows how it ended.
    let _ = world.pay(&id);
    back(world, &id)
}

#[handler]
fn decline(Data(world): Data<&Arc<SwishWorld>>, Path(id): Path<String>) -> Response {
    let _ = world.decline(&id);
    back(world, &id)
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn texts_cannot_become_markup() {
        assert_eq!(escaped("<b title='x\"'>&å"), "&lt;b title=&#39;x&quot;&#39;&gt;&amp;å");
    }
}
