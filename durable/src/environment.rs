//! The configuration: read from the isolate's bindings once, validated, shared.

use std::{cell::OnceCell, rc::Rc};

use dialtone_core::{
    auth::Keys,
    config::{Config, ConfigError},
    error::{Code, Refusal},
    object::Environment,
};
use worker::{
    Env,
    js_sys::{JSON, Reflect},
    wasm_bindgen::JsValue,
};

thread_local! {
    static ENVIRONMENT: OnceCell<Result<Rc<Environment>, ConfigError>> = const { OnceCell::new() };
}

/// The environment, or what is wrong with it: 503 naming the variable, never its value.
pub fn environment(env: &Env) -> Result<Rc<Environment>, Refusal> {
    ENVIRONMENT.with(|cell| {
        cell.get_or_init(|| read(env).map(Rc::new))
            .clone()
            .map_err(|error| Refusal::new(Code::NotConfigured, error.to_string()))
    })
}

fn read(env: &Env) -> Result<Environment, ConfigError> {
    let bindings: &JsValue = env;
    let config = Config::read(|name| {
        let value = Reflect::get(bindings, &JsValue::from_str(name)).ok()?;
        if value.is_undefined() || value.is_null() {
            return None;
        }
        // `LOBBIES = 3` or an array in wrangler.toml arrives as JSON, not as text.
        value
            .as_string()
            .or_else(|| JSON::stringify(&value).ok().map(String::from))
    })?;
    let keys = Keys::new(&config.auth)?;
    Ok(Environment { config, keys })
}
