//! Everything else: the static page in `public/`.

use dialtone_core::error::{Code, Refusal};
use worker::{Env, Request, RequestInit, Response, Result};

use crate::{auth::header, respond};

/// The binding that wrangler.toml gives the static assets.
const BINDING: &str = "ASSETS";

/// A file of `public/`; for a page that is not there, the page that is.
pub async fn serve(request: Request, env: &Env) -> Result<Response> {
    let assets = env.assets(BINDING)?;
    let navigation = header(&request, "accept").is_some_and(|accept| accept.contains("text/html"));
    let home = request.url().and_then(|url| Ok(url.join("/")?));
    let found = assets.fetch_request(request).await?;
    if found.status_code() != 404 {
        return respond::with_headers(found, &[("X-Content-Type-Options", "nosniff".to_owned())]);
    }
    if navigation {
        return assets.fetch(home?.to_string(), None::<RequestInit>).await;
    }
    respond::problem(&Refusal::new(Code::NotFound, "there is no such page"))
}
