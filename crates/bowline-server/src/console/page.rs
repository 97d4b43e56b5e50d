use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bowline_types::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::format::clock;

/// A page whose middle part is asked for again while it is shown.
pub(super) struct Page {
    title: String,
    live: Option<Live>,
    body: Markup,
}

/// How a page updates itself.
struct Live {
    source: String,
    every: Duration,
    now: Timestamp,
}

// === impl Page ===

impl Page {
    /// Returns a page that stays as it is.
    pub(super) fn still(title: &str, body: Markup) -> Self {
        Self { title: title.to_owned(), live: None, body }
    }

    /// Returns a page as of `now` that fetches `source` again and again.
    pub(super) fn live(title: &str, source: String, every: Duration, now: Timestamp, body: Markup) -> Self {
        Self { title: title.to_owned(), live: Some(Live { source, every, now }), body }
    }

    /// Answers with the whole page.
    pub(super) fn whole(self) -> Response {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Bowline" }
                    link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/console.css";
                    script src="/assets/console.js" defer {}
                }
                body {
                    a.skip href="#live" { "Skip to content" }
                    header.top {
                        div {
                            a.brand href="/" { "Bowline" }
                            p #connection role="status" {}
                        }
                    }
                    main #live { (self.inner()) }
                }
            }
        };
        answer(&markup)
    }

    /// Answers with the middle part.
    pub(super) fn middle(self) -> Response {
        answer(&self.inner())
    }

    fn inner(&self) -> Markup {
        html! {
            // The script reads from here what to fetch next; a page that stays as it is has no such element.
            @if let Some(live) = &self.live {
                p.updated data-source=(live.source) data-every=(live.every.as_millis()) {
                    "As of " (clock(live.now))
                }
            }
            (self.body)
        }
    }
}

fn answer(markup: &Markup) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.0.clone()).into_response()
}
