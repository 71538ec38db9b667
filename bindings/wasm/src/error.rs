use std::fmt::Display;

use mysa_cognito::Recovery;
use wasm_bindgen::JsValue;

use crate::value::set;

/// Returns a JavaScript `Error` with this text.
pub(crate) fn error(text: impl Display) -> JsValue {
    js_sys::Error::new(&text.to_string()).into()
}

/// Returns the error of a sign-in, with what to do next.
pub(crate) fn sign_in_error(cause: &mysa_cognito::Error) -> JsValue {
    let recovery = match cause.recovery() {
        Recovery::AskForPassword => "ask_for_password",
        Recovery::AskForCode => "ask_for_code",
        Recovery::RenewTokens => "renew_tokens",
        Recovery::ForgetIdentity => "forget_identity",
        Recovery::Retry => "retry",
        Recovery::RetryOnce => "retry_once",
        Recovery::Wait => "wait",
        _ => "give_up",
    };
    let object = error(cause);
    set(&object, "recovery", recovery);
    set(&object, "needsSignIn", cause.needs_sign_in());
    object
}
