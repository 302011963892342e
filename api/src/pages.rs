//! The document for people: Swagger UI to try it (`/docs`), Redoc to read it (`/reference`), and the text itself.
//!
//! Both pages have all of their code in them. Their policy lets the browser load nothing from elsewhere.

use poem::http::header;
use poem::{Endpoint, IntoResponse as _, Response};
use poem_openapi::OpenApiService;

use crate::{Apis, document};

/// Scripts and styles are in the page; `connect-src` is what "Try it out" calls, `blob:` Redoc's search.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; worker-src blob:; \
                      frame-ancestors 'none'; base-uri 'none'";

pub(crate) struct Pages {
    pub(crate) docs: Text,
    pub(crate) reference: Text,
    pub(crate) document: Text,
}

impl Pages {
    pub(crate) fn of(service: &OpenApiService<Apis, ()>) -> Self {
        let generated = service.spec();
        let document = document::complete(&generated);
        let docs = service.swagger_ui_html().replace(&generated, &document);
        let docs =
            docs.replace("deepLinking: true,", "deepLinking: true, tryItOutEnabled: true, persistAuthorization: true,");
        let reference = service.redoc_html().replace(&generated, &document);
        Self {
            docs: Text { media_type: "text/html; charset=utf-8", text: docs },
            reference: Text { media_type: "text/html; charset=utf-8", text: without_links(&reference) },
            document: Text { media_type: "application/json", text: document },
        }
    }
}

/// Redoc's page asks Google for fonts; it reads as well without.
fn without_links(page: &str) -> String {
    page.lines().filter(|line| !line.trim_start().starts_with("<link href=\"https://")).collect::<Vec<_>>().join("\n")
}

/// A text that does not change.
pub(crate) struct Text {
    media_type: &'static str,
    text: String,
}

impl Endpoint for Text {
    type Output = Response;

    async fn call(&self, _request: poem::Request) -> poem::Result<Response> {
        let mut response = self.text.clone().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.media_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(POLICY));
        Ok(response)
    }
}
