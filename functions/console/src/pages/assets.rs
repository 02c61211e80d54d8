//! Styles, scripts and the chart library: in the binary, each under an address with its hash, so that a
//! browser keeps it for good.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::packed::takes_gzip;
use crate::problem::Problem;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const FILES: [(&str, &str, &[u8]); 5] = [
    ("app.css", STYLE, include_bytes!("../../assets/app.css")),
    ("app.js", SCRIPT, include_bytes!("../../assets/app.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
    ("uplot-1.6.32.css", STYLE, include_bytes!("../../assets/uplot-1.6.32.css")),
    ("uplot-1.6.32.js", SCRIPT, include_bytes!("../../assets/uplot-1.6.32.js")),
];

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    gzip: Vec<u8>,
    url: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, kind, bytes): (&'static str, &'static str, &'static [u8])| {
        let hash = domain::hex(&Sha256::digest(bytes)[..8]);
        let url = format!("/assets/{hash}/{name}");
        Asset { name, kind, bytes, gzip: gzip(bytes, Compression::best()), url }
    };
    FILES.into_iter().map(asset).collect()
});

/// Where a file is. A name that there is not leads nowhere; the tests of the pages find it.
pub(super) fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// Answers a file, for a year.
pub(super) async fn asset(
    Path((hash, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let url = format!("/assets/{hash}/{name}");
    let Some(asset) = ASSETS.iter().find(|asset| asset.url == url) else {
        return Problem::no_route().into_response();
    };
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, kept),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if takes_gzip(&headers) {
        let packed = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (head, packed, asset.gzip.as_slice()).into_response();
    }
    (head, asset.bytes).into_response()
}

/// Compresses.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    // Writing to memory does not fail.
    let _ = packed.write_all(bytes);
    packed.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_an_address_of_its_own_and_is_small() {
        for asset in ASSETS.iter() {
            assert_eq!(url(asset.name), asset.url);
            assert!(asset.gzip.len() < 30_000, "{}: {}", asset.name, asset.gzip.len());
        }
        assert_eq!(url("nothing.js"), "");
    }
}
