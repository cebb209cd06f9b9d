//! Pages of other origins: the Fetch standard's CORS protocol by tower-http, and in front of it a refusal that says
//! which key to set. Preflights end here, whatever session they name.
//!
//! A browser asks before it lets such a page read anything, so leaving the headers out would be enough, as Node does.
//! But then all that a developer sees is a blocked answer. So a request that a browser itself marks as coming from
//! elsewhere is refused with a body that names origin and key. One without such a mark is answered, without the headers:
//! behind a proxy that rewrites `Host` the server's own pages look foreign. WebSockets are not subject to CORS.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use oxherd_contract::edge::{CorsSettings, Origins};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::seldom::Seldom;

/// How long a browser may remember the answer to a preflight; none remembers it longer (Chromium's limit).
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Characters of an origin that are repeated at most.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// Where a browser says that a page comes from (Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// `cors.origins` and `cors.credentials` as a layer, for the outside of a router.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Origins,
    headers: CorsLayer,
}

/// What [`Cors`] makes of a service.
#[derive(Clone, Debug)]
pub struct CorsService<S> {
    origins: Origins,
    inner: tower_http::cors::Cors<S>,
}

impl Cors {
    pub(crate) fn new(settings: &CorsSettings) -> Self {
        let origin = match &settings.origins {
            Origins::Any => AllowOrigin::any(),
            // The configuration has let nothing through that is no header.
            Origins::Listed(list) => AllowOrigin::list(list.iter().filter_map(|one| one.parse().ok())),
        };
        let headers = CorsLayer::new()
            .allow_origin(origin)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .allow_credentials(settings.credentials)
            .max_age(PREFLIGHT_AGE);
        Cors { origins: settings.origins.clone(), headers }
    }
}

impl<S> Layer<S> for Cors {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> CorsService<S> {
        CorsService { origins: self.origins.clone(), inner: self.headers.layer(inner) }
    }
}

impl<S, B> Service<Request<B>> for CorsService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CorsFuture<tower_http::cors::ResponseFuture<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        static SAID: Seldom = Seldom::new();
        let Some((origin, sure)) = foreign(&self.origins, request.method(), request.headers()) else {
            return CorsFuture { served: Some(self.inner.call(request)), refused: String::new() };
        };
        let refused = shown(origin);
        if SAID.is_news(Instant::now()) {
            tracing::warn!(
                origin = refused,
                key = "cors.origins",
                "a page of another origin may not read answers"
            );
        }
        CorsFuture { served: (sure == Sure::No).then(|| self.inner.call(request)), refused }
    }
}

pin_project! {
    /// An answer of [`CorsService`]: from inside, or made here for an origin that is refused.
    pub struct CorsFuture<F> {
        #[pin]
        served: Option<F>,
        refused: String,
    }
}

impl<F, E> Future for CorsFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.served.as_pin_mut() {
            Some(served) => served.poll(cx),
            None => Poll::Ready(Ok(refusal(this.refused))),
        }
    }
}

/// Whether a page is known to be of another origin, or only looks like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    Yes,
    No,
}

/// The origin of a request that is neither allowed nor the server's own.
fn foreign<'h>(
    origins: &Origins,
    method: &Method,
    headers: &'h HeaderMap,
) -> Option<(&'h HeaderValue, Sure)> {
    let Origins::Listed(listed) = origins else { return None };
    let origin = headers.get(header::ORIGIN)?;
    let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    if listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) || headers.contains_key(header::UPGRADE) {
        return None;
    }
    // No browser asks first about its page's own server.
    let preflight = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    match text(FETCH_SITE) {
        _ if preflight => Some((origin, Sure::Yes)),
        Some(b"cross-site" | b"same-site") => Some((origin, Sure::Yes)),
        Some(_) => None,
        None => {
            let hosts = [text(header::HOST.as_str()), text(FORWARDED_HOST)];
            let of =
                |host: &[u8]| origin.as_bytes().strip_suffix(host).is_some_and(|head| head.ends_with(b"://"));
            (!hosts.into_iter().flatten().any(of)).then_some((origin, Sure::No))
        }
    }
}

fn refusal(origin: &str) -> Response<Body> {
    let text =
        format!("origin {origin} is not allowed: add it to cors.origins in the configuration of oxherd\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn shown(origin: &HeaderValue) -> String {
    String::from_utf8_lossy(origin.as_bytes()).chars().take(SHOWN_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::to_bytes;
    use tower::service_fn;

    use super::*;

    fn asked(method: &str, lines: &[(&str, &str)]) -> Request<Body> {
        let request =
            Request::builder().method(method).uri("/socket.io/?sid=unknown").header("host", "ox:3000");
        let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    async fn answer(origins: &[&str], method: &str, lines: &[(&str, &str)]) -> (u16, Option<String>, String) {
        let listed = origins.iter().map(ToString::to_string).collect();
        let origins = if origins == ["*"] { Origins::Any } else { Origins::Listed(listed) };
        let cors = Cors::new(&CorsSettings { origins, credentials: false });
        let served = async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("served")));
        let response = cors.layer(service_fn(served)).call(asked(method, lines)).await.unwrap();
        let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        let allowed = allowed.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        (status, allowed, String::from_utf8(body.to_vec()).unwrap())
    }

    const ORIGIN: (&str, &str) = ("origin", "https://a.example");
    const PREFLIGHT: (&str, &str) = ("access-control-request-method", "POST");

    #[tokio::test]
    async fn a_page_of_an_origin_that_is_allowed_may_read() {
        for origins in [&["https://a.example"][..], &["*"]] {
            let (status, allowed, body) = answer(origins, "GET", &[ORIGIN]).await;
            assert_eq!((status, body.as_str()), (200, "served"));
            assert!(allowed.is_some_and(|allowed| allowed == "https://a.example" || allowed == "*"));
            // A preflight is answered without asking the engine, which would not know the session.
            let (status, allowed, body) = answer(origins, "OPTIONS", &[ORIGIN, PREFLIGHT]).await;
            assert_eq!((status, body.as_str(), allowed.is_some()), (200, "", true));
        }
    }

    #[tokio::test]
    async fn a_page_that_is_surely_of_another_origin_is_refused_by_name_and_key() {
        for lines in [
            &[ORIGIN, ("sec-fetch-site", "cross-site")][..],
            &[ORIGIN, ("sec-fetch-site", "same-site")],
            &[ORIGIN, PREFLIGHT],
        ] {
            let method = if lines.contains(&PREFLIGHT) { "OPTIONS" } else { "GET" };
            let (status, allowed, body) = answer(&["https://b.example"], method, lines).await;
            assert_eq!((status, allowed), (403, None));
            assert!(body.contains("origin https://a.example") && body.contains("cors.origins"), "{body}");
        }
    }

    #[tokio::test]
    async fn whoever_may_be_at_home_is_served_without_the_headers() {
        for lines in [
            &[][..],
            &[("origin", "http://ox:3000")],
            &[ORIGIN, ("sec-fetch-site", "same-origin")],
            &[ORIGIN, ("x-forwarded-host", "a.example")],
            &[ORIGIN],
            &[ORIGIN, ("upgrade", "websocket"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(answer(&[], "GET", lines).await, (200, None, "served".to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn only_a_host_that_differs_is_worth_a_line() {
        let doubt = |lines: &[(&str, &str)]| {
            foreign(&Origins::default(), &Method::GET, asked("GET", lines).headers()).map(|(_, sure)| sure)
        };
        assert_eq!(doubt(&[ORIGIN]), Some(Sure::No));
        assert_eq!(doubt(&[("origin", "https://fox:3000")]), Some(Sure::No));
        assert_eq!(doubt(&[("origin", "https://ox:3000")]), None);
    }
}
