//! The document for people: Swagger UI to try it (`/docs`), Redoc to read it (`/reference`), and the text itself; and what the
//! `type` of a problem leads to (`/errors`).
//!
//! Both pages have all of their code in them. Their policy lets the browser load nothing from elsewhere.

use std::sync::{LazyLock, OnceLock};

use poem::http::{HeaderMap, header};
use poem::{Endpoint, IntoResponse as _, Response};

use crate::compression::{gzip, takes_gzip};
use crate::document::codes::CODES;
use crate::state::State;
use crate::{document, service};

/// Scripts and styles are in the page; `connect-src` is what "Try it out" calls, `blob:` Redoc's search.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; worker-src blob:; \
                      frame-ancestors 'none'; base-uri 'none'";

/// A page, of those that are made when the first one is asked for: most processes are never asked.
#[derive(Clone, Copy)]
pub(crate) enum Page {
    Docs,
    Reference,
    Document,
    Errors,
}

struct Pages {
    docs: Text,
    reference: Text,
    document: Text,
    errors: Text,
}

static PAGES: LazyLock<Pages> = LazyLock::new(|| {
    let service = service(&State::for_document());
    let generated = service.spec();
    let document = document::complete(&generated);
    let docs = service.swagger_ui_html().replace(&generated, &document);
    let docs =
        docs.replace("deepLinking: true,", "deepLinking: true, tryItOutEnabled: true, persistAuthorization: true,");
    let reference = service.redoc_html().replace(&generated, &document);
    Pages {
        docs: Text::new("text/html; charset=utf-8", docs),
        reference: Text::new("text/html; charset=utf-8", without_links(&reference)),
        document: Text::new("application/json", document),
        errors: Text::new("text/html; charset=utf-8", errors()),
    }
});

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: poem::Request) -> poem::Result<Response> {
        let text = match self {
            Self::Docs => &PAGES.docs,
            Self::Reference => &PAGES.reference,
            Self::Document => &PAGES.document,
            Self::Errors => &PAGES.errors,
        };
        Ok(text.answer(request.headers()))
    }
}

/// Every code of an error, each where the `type` of a problem points.
fn errors() -> String {
    let rows: Vec<String> = CODES
        .iter()
        .map(|(code, status, meaning)| {
            let meaning: String = meaning
                .split('`')
                .enumerate()
                .map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
                .collect();
            format!("<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{meaning}</td></tr>")
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Errors</title>\
         <style>body {{ font: 16px sans-serif; max-width: 60em; margin: 2em auto }} td {{ padding: .3em 1em .3em 0; vertical-align: top }} \
         tr:target {{ background: #ff9 }}</style><h1>Errors</h1><p>A program branches on <code>code</code>. \
         See the <a href=\"/reference\">reference</a>.</p><table>{}</table></html>\n",
        rows.join("\n")
    )
}

/// Redoc's page asks Google for fonts; it reads as well without.
fn without_links(page: &str) -> String {
    page.lines().filter(|line| !line.trim_start().starts_with("<link href=\"https://")).collect::<Vec<_>>().join("\n")
}

/// A text that does not change. It is compressed when it is first asked for, and once.
struct Text {
    media_type: &'static str,
    text: String,
    compressed: OnceLock<Option<Vec<u8>>>,
}

impl Text {
    fn new(media_type: &'static str, text: String) -> Self {
        Self { media_type, text, compressed: OnceLock::new() }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let compressed = || self.compressed.get_or_init(|| gzip(self.text.as_bytes())).clone();
        let mut response = match takes_gzip(asked).then(compressed).flatten() {
            Some(compressed) => {
                let mut response = compressed.into_response();
                response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
                response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
                response
            }
            None => self.text.clone().into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.media_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(POLICY));
        response
    }
}
