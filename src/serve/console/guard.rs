//! What every request for a page passes through: is the console on, does a change come from our own pages, and which headers
//! does the answer bear.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::refusal::Refusal;
use crate::serve::http::App;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every answer. The referrer stays within the site because without one browsers send forms with `Origin: null`.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Around every page.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if !app.core.in_force().config.console.enabled {
        Refusal::new(StatusCode::NOT_FOUND, "The console is switched off (console.enabled).").into_response()
    } else if is_embedded_elsewhere(request.headers()) || !is_reading && !is_own(request.headers()) {
        Refusal::new(StatusCode::FORBIDDEN, "This request came from another site.").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a change was asked for by one of our own pages, as far as the browser tells. What tells nothing is no browser.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text(HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|from| text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(from)))
        }
        (None, None) => true,
    }
}

/// Whether another site's page asks for something as a part of itself. Links that lead here are no such thing. Where nobody
/// signs in no cookie keeps such pages away, and even what they cannot read costs something.
fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &'static str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let is_foreign = matches!(text("sec-fetch-site"), Some("cross-site" | "same-site"));
    is_foreign && text("sec-fetch-mode") != Some("navigate")
}

/// Whether `Host` names this machine itself. Whoever needs no token is let in under no other name: another site's name may
/// be made to lead here, and its pages would then count as our own.
pub(super) fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_loopback = address.is_ok_and(|address| address.is_loopback());
    // No site of the Internet has a name without a dot.
    is_loopback || name.ends_with(".localhost") || (!name.is_empty() && !name.contains(['.', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn changes_come_from_our_own_pages() {
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://a:1"), ("host", "A:1")], true),
            (&[("origin", "http://b:1"), ("host", "a:1")], false),
            (&[("origin", "null"), ("host", "null")], false),
            (&[("origin", "http://a:1")], false),
            (&[("host", "a:1")], true),
        ] {
            assert_eq!(is_own(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn other_sites_may_link_here_but_embed_nothing() {
        for (pairs, expected) in [
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")][..], true),
            (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], true),
            (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")], false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], false),
            (&[], false),
        ] {
            assert_eq!(is_embedded_elsewhere(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn local_names_are_told_from_others() {
        for (host, expected) in [
            ("localhost", true),
            ("localhost:8750", true),
            ("LOCALHOST:1", true),
            ("x.localhost:8750", true),
            ("127.0.0.1:8750", true),
            ("[::1]:8750", true),
            ("[::1]", true),
            ("clonewatch", true),
            ("evil.example:8750", false),
            ("evil.example", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]:80", false),
            ("", false),
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), expected, "{host}");
        }
    }
}
