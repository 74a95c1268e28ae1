//! Settings of authentication.

use std::ffi::c_char;

use memcache_core::{AuthConfig, AuthMethod, Passwords};

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// Names how clients authenticate: one of the MCRS_AUTH_ numbers.
pub type mcrs_auth = u32;

/// Requires SASL PLAIN in the binary protocol, and refuses the text protocols.
pub const MCRS_AUTH_SASL: mcrs_auth = 1;

/// Requires a first `set` whose value is name and password.
///
/// The binary protocol is refused.
pub const MCRS_AUTH_TEXT: mcrs_auth = 2;

fn method(number: mcrs_auth) -> Result<AuthMethod, Failure> {
    match number {
        MCRS_AUTH_SASL => Ok(AuthMethod::Sasl),
        MCRS_AUTH_TEXT => Ok(AuthMethod::Text),
        other => Err(invalid(format!("auth must be MCRS_AUTH_SASL or MCRS_AUTH_TEXT, got {other}"))),
    }
}

/// Requires clients to authenticate against a file of users.
///
/// The file has lines `user:password`. mcrs_server_start() and mcrs_server_reload() read it. It
/// replaces users that were added before.
///
/// @param config  Settings to change.
/// @param auth  MCRS_AUTH_SASL or MCRS_AUTH_TEXT.
/// @param path  Path of the file, not empty.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `auth` or `path` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_auth_file(
    config: *mut mcrs_config,
    auth: mcrs_auth,
    path: *const c_char,
) -> mcrs_status {
    entry!(mut config, { path: path(path) }, {
        let passwords = Passwords::File(path.to_owned());
        config.settings.auth = Some(AuthConfig { method: method(auth)?, passwords });
        Ok(())
    })
}

/// Requires clients to authenticate, and adds a user.
///
/// The first user replaces a file that was set before. The setting `rights` limits what users may
/// do, by mcrs_config_set().
///
/// ```c
/// assert(mcrs_config_add_user(config, MCRS_AUTH_TEXT, "ann", "secret") == MCRS_OK);
/// assert(mcrs_config_add_user(config, MCRS_AUTH_TEXT, "bob", "hidden") == MCRS_OK);
/// assert(mcrs_config_set(config, "rights", "ann all; bob ro,prefix=b/") == MCRS_OK);
/// ```
///
/// @param config  Settings to change.
/// @param auth  MCRS_AUTH_SASL or MCRS_AUTH_TEXT, the same for all users.
/// @param user  Name: a text that is not empty and has no colon.
/// @param password  Password: any text.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `auth` or `user` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_add_user(
    config: *mut mcrs_config,
    auth: mcrs_auth,
    user: *const c_char,
    password: *const c_char,
) -> mcrs_status {
    entry!(mut config, { user: text(user), password: text(password) }, {
        let method = method(auth)?;
        if user.is_empty() || user.contains(':') {
            return Err(invalid("user must not be empty or have a colon"));
        }
        let pair = (user.as_bytes().to_vec(), password.as_bytes().to_vec());
        match &mut config.settings.auth {
            Some(AuthConfig { method: before, passwords: Passwords::List(list) }) => {
                if *before != method {
                    return Err(invalid("auth must be the same for all users"));
                }
                list.push(pair);
            }
            other => *other = Some(AuthConfig { method, passwords: Passwords::List(vec![pair]) }),
        }
        Ok(())
    })
}
