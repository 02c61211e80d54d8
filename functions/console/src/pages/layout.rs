//! The frame around every page.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::url;
use crate::visitor::Visitor;

/// Where a page is in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nav {
    None,
    Overview,
    Customers,
    Journey,
    Alerts,
    Changes,
    Audit,
    Setup,
}

const LINKS: [(Nav, &str, &str); 7] = [
    (Nav::Overview, "/", "Overview"),
    (Nav::Customers, "/customers", "Customers"),
    (Nav::Journey, "/journey", "Journey"),
    (Nav::Alerts, "/alerts", "Alerts"),
    (Nav::Changes, "/changes", "Changes"),
    (Nav::Audit, "/audit", "Audit"),
    (Nav::Setup, "/setup", "Setup"),
];

/// A page.
pub(super) struct Page {
    pub(super) nav: Nav,
    pub(super) title: String,
    pub(super) workspace: Option<String>,
    pub(super) visitor: Option<Visitor>,
    pub(super) notice: Option<&'static str>,
    /// Whether the script fetches it again every minute.
    pub(super) looks_again: bool,
    pub(super) has_charts: bool,
    pub(super) body: Markup,
}

impl Page {
    pub(super) fn looking_again(self) -> Page {
        Page { looks_again: true, ..self }
    }

    pub(super) fn with_charts(self) -> Page {
        Page { has_charts: true, ..self }
    }

    fn html(&self) -> Markup {
        let workspace = self.workspace.as_deref().unwrap_or("Lifecycle");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (workspace) }
                    link rel="icon" href=(url("icon.svg")) type="image/svg+xml";
                    @if self.has_charts { link rel="stylesheet" href=(url("uplot-1.6.32.css")); }
                    link rel="stylesheet" href=(url("app.css"));
                    @if self.has_charts { script src=(url("uplot-1.6.32.js")) defer {} }
                    script src=(url("app.js")) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    header.top {
                        a.brand href="/" { (workspace) }
                        nav aria-label="Pages" {
                            @for (nav, href, name) in LINKS {
                                a href=(href) aria-current=[(nav == self.nav).then_some("page")] { (name) }
                            }
                        }
                        @if let Some(visitor) = &self.visitor {
                            p.who { span { (visitor.name) } " " span.role { (visitor.role.as_str()) } }
                        }
                    }
                    main id="main" tabindex="-1" data-again=[self.looks_again.then_some("60")] {
                        h1 { (self.title) }
                        @if let Some(notice) = self.notice {
                            p.notice role="status" { (notice) }
                        }
                        (self.body)
                    }
                    footer.foot {
                        p { "Times are shown in your time zone where scripts run, else in UTC. "
                            a href="/api/openapi.json" { "API" } }
                    }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, kind)], self.html().into_string()).into_response()
    }
}
