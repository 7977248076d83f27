//! The one thing that librdkafka can do and rdkafka does not offer.

use ports::Trouble;
use rdkafka::{
    bindings::{rd_kafka_oauthbearer_set_token, rd_kafka_resp_err_t},
    client::{Client, ClientContext, OAuthToken},
};
use std::{
    ffi::{CStr, CString, c_char},
    ptr,
};

/// Sets a client's token. rdkafka does it only when a client is polled: one of `AdminClient` never
/// is, and others wait for a connection before they are.
#[expect(unsafe_code, reason = "a call into C that rdkafka has no safe form of")]
pub(super) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &OAuthToken,
) -> Result<(), Trouble> {
    let unfit = |_| Trouble::fatal("a token for kafka has a NUL in it");
    let text = CString::new(token.token.as_str()).map_err(unfit)?;
    let principal = CString::new(token.principal_name.as_str()).map_err(unfit)?;
    let mut said: [c_char; 256] = [0; 256];
    // SAFETY: the client lives as long as the call; both texts end with NUL and are copied; there are
    // no extensions; `said` is written within its length.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            said.as_mut_ptr(),
            said.len(),
        )
    };
    if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let said = said.map(|c| c.to_ne_bytes()[0]);
    let said = CStr::from_bytes_until_nul(&said).unwrap_or_default().to_string_lossy();
    Err(Trouble::fatal(format!("kafka's client does not take the token: {said}")))
}
