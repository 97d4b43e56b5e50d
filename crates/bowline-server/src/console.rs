//! The console: what is live, how it does, and how rollouts stand. Pages are rendered here and update themselves by asking for
//! their own middle part again. They are read-only and show names, digests and rates, never prompts or answers.

use std::future::{Ready, ready};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bowline_types::{EnvironmentName, ProjectName};
use maud::{Markup, html};

use crate::api::{Path, Server};
use crate::error::Error;

mod chart;
mod environment;
mod format;
mod overview;
mod page;
mod prompts;
mod rollout;

use page::Page;

/// Returns the routes of the console.
pub(crate) fn routes() -> Router<Server> {
    Router::new()
        .route("/", get(overview))
        .route("/live", get(overview_live))
        .route("/environments/{project}/{environment}", get(environment))
        .route("/environments/{project}/{environment}/live", get(environment_live))
        .route("/rollouts/{project}/{number}", get(rollout))
        .route("/rollouts/{project}/{number}/live", get(rollout_live))
        .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", include_str!("console/console.css"))))
        .route(
            "/assets/console.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("console/console.js"))),
        )
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("console/icon.svg"))))
        .layer(map_response(guarded))
}

/// Nothing but our own style and script is loaded, nothing is sent elsewhere, and no other page may frame ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async fn guarded(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn asset(kind: &'static str, text: &'static str) -> Ready<Response> {
    ready(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// A page, or its middle part.
type Answer = Result<Response, Refusal>;

async fn overview(State(server): State<Server>) -> Answer {
    Ok(overview::page(&server.control).await?.whole())
}

async fn overview_live(State(server): State<Server>) -> Answer {
    Ok(overview::page(&server.control).await?.middle())
}

async fn environment(State(server): State<Server>, Path(place): Path<(ProjectName, EnvironmentName)>) -> Answer {
    Ok(environment::page(&server.control, &place.0, &place.1).await?.whole())
}

async fn environment_live(State(server): State<Server>, Path(place): Path<(ProjectName, EnvironmentName)>) -> Answer {
    Ok(environment::page(&server.control, &place.0, &place.1).await?.middle())
}

async fn rollout(State(server): State<Server>, Path(place): Path<(ProjectName, u64)>) -> Answer {
    Ok(rollout::page(&server.control, &place.0, place.1).await?.whole())
}

async fn rollout_live(State(server): State<Server>, Path(place): Path<(ProjectName, u64)>) -> Answer {
    Ok(rollout::page(&server.control, &place.0, place.1).await?.middle())
}

/// An error as a page, for people.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<bowline_store::Error> for Refusal {
    fn from(error: bowline_store::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind().spec().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = self.0.message();
        let mut lines = message.lines();
        let what = lines.next().unwrap_or_default();
        let body: Markup = html! {
            h1 { "This page cannot be shown" }
            p { (format::code_spans(what)) }
            @for line in lines { p.hint { (format::code_spans(line)) } }
            p { a href="/" { "All environments" } }
        };
        (status, Page::still("Not shown", body).whole()).into_response()
    }
}
