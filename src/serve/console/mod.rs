//! The console: pages for people, made by the server, over the same store and rules as the API.
//!
//! ```text
//!  browser ─ guard (is it on, same site, headers) ─ Visitor (session or Unix socket) ─ page ─ store, report's fragments
//! ```
//! Each page is a module with a `routes()`; [`router`] and [`layout::SECTIONS`] are the two places where it registers.
//! Pages ask for a [`access::Visitor`] and, where something is changed, for an [`access::Posted`]: it holds only fields that
//! came from one of our own pages. [`refusal::Refusal`] is the error that people see.
//!
//! Scripts and the style sheet are files in `static/`, embedded in the program ([`assets`]). The policy of [`guard`] allows
//! nothing else: no inline script, no inline style, no other host. Every page works without its script, except for playing
//! audio beside its segments.

mod access;
mod assets;
mod audio;
mod audit;
mod calls;
mod chart;
mod decide;
mod dossier;
mod drop;
mod guard;
mod history;
mod layout;
mod overview;
mod refusal;
mod scan;
mod service;
mod session;
mod settings;
mod sign_in;

use axum::{Router, middleware, response::Redirect, routing::get};

use super::http::App;

pub use session::Console;

/// All pages.
pub(in crate::serve) fn router(app: &App) -> Router<App> {
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/console") }))
        .merge(assets::routes())
        .merge(sign_in::routes())
        .merge(service::routes())
        .merge(drop::routes())
        .merge(history::routes())
        .merge(scan::routes())
        .merge(decide::routes())
        .merge(audio::routes())
        .route("/console/{*rest}", get(refusal::no_page));
    pages.route_layer(middleware::from_fn_with_state(app.clone(), guard::around))
}
