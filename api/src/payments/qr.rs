//! `GET /api/payments/{id}/qr`: the QR code that opens the payer's app, drawn here: Swish is not asked for it.

use poem::http::StatusCode;
use poem_openapi::payload::Binary;
use poem_openapi::{ApiResponse, Enum};
use qrcode::{Color, EcLevel, QrCode};
use shared::domain::ids::PaymentId;
use shared::domain::payment::ProviderName;
use shared::providers::swish::app;
use shared::store::payments;
use uuid::Uuid;

use super::swish::open_token;
use crate::auth::Claims;
use crate::problem::Problem;
use crate::state::State;

/// Light modules around the code: readers need four.
const QUIET: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum QrFormat {
    Svg,
    Png,
}

/// The code as a picture.
#[derive(ApiResponse)]
pub(crate) enum QrResponse {
    #[oai(status = 200, content_type = "image/svg+xml")]
    Svg(
        Binary<Vec<u8>>,
        /// The code is the payer's: it is not to be kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
    #[oai(status = 200, content_type = "image/png")]
    Png(
        Binary<Vec<u8>>,
        /// The code is the payer's: it is not to be kept.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

pub(super) async fn get_payment_qr(
    state: &State,
    user: &Claims,
    id: Uuid,
    format: QrFormat,
    size: u32,
) -> Result<QrResponse, Problem> {
    let payment = payments::find(&state.db, &user.id, PaymentId(id)).await?;
    let payment = payment.ok_or_else(|| Problem::not_found("payment"))?;
    if payment.provider != ProviderName::Swish {
        let detail = format!("payments through {} have no QR code", payment.provider.title());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_supported_by_provider", detail));
    }
    let Some(token) = open_token(&payment) else {
        let detail = match payment.swish.as_ref().and_then(|swish| swish.payer_alias.as_ref()) {
            Some(_) => "the payer's app asks by itself: there is no QR code for it".to_owned(),
            None => {
                format!("the payment is {}: there is a QR code while it is requires_action", payment.status.as_str())
            }
        };
        return Err(Problem::new(StatusCode::CONFLICT, "invalid_status", detail));
    };
    let code = QrCode::with_error_correction_level(app::qr_text(token), EcLevel::M)
        .map_err(|error| Problem::internal(&error))?;
    let private = "private, no-store".to_owned();
    Ok(match format {
        QrFormat::Svg => QrResponse::Svg(Binary(svg(&code, size).into_bytes()), private),
        QrFormat::Png => QrResponse::Png(Binary(png(&code, size).map_err(|error| Problem::internal(&error))?), private),
    })
}

/// One unit a module; runs of dark ones are one stroke.
fn svg(code: &QrCode, size: u32) -> String {
    let side = code.width().saturating_add(2 * QUIET);
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(code.width()).enumerate() {
        for run in row.iter().enumerate().collect::<Vec<_>>().chunk_by(|(_, one), (_, next)| one == next) {
            if let Some((x, Color::Dark)) = run.first() {
                path.push_str(&format!("M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len()));
            }
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    )
}

/// Grey, one byte a pixel; as large as fits into `size`, the rest is margin.
fn png(code: &QrCode, size: u32) -> Result<Vec<u8>, png::EncodingError> {
    let side = usize::try_from(size).unwrap_or(usize::MAX);
    let modules = code.width().saturating_add(2 * QUIET);
    let scale = (side / modules).max(1);
    let margin = side.saturating_sub(scale.saturating_mul(code.width())) / 2;
    let mut pixels = vec![255_u8; side.saturating_mul(side)];
    for (index, _) in code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark) {
        let (x, y) = (index % code.width(), index / code.width());
        for row in 0..scale {
            let from = (margin + y * scale + row) * side + margin + x * scale;
            if let Some(run) = pixels.get_mut(from..from + scale) {
                run.fill(0);
            }
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size, size);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}
