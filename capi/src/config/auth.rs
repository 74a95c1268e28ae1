//! How clients prove who they are.

use std::ffi::c_char;

use memcache_core::{AuthConfig, AuthMethod, Passwords};

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// How clients prove who they are: one of the MCRS_AUTH_ numbers.
pub type mcrs_auth = u32;

/// SASL PLAIN, in the binary protocol; the text protocols are refused.
pub const MCRS_AUTH_SASL: mcrs_auth = 1;

/// A set whose value is name and password, in the text protocols; the binary
/// protocol is refused.
pub const MCRS_AUTH_TEXT: mcrs_auth = 2;

fn method(number: mcrs_auth) -> Result<AuthMethod, Failure> {
    match number {
        MCRS_AUTH_SASL => Ok(AuthMethod::Sasl),
        MCRS_AUTH_TEXT => Ok(AuthMethod::Text),
        other => Err(invalid(format!("there is no authentication {other}"))),
    }
}

/// Clients have to prove who they are, by a file of lines `user:password`, which
/// is read at start and by mcrs_server_reload(). It takes the place of users that
/// were given before.
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

/// Clients have to prove who they are: one more user, of the same kind of
/// authentication as those before. The first takes the place of a file.
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
            return Err(invalid("a user's name is not empty and has no colon"));
        }
        let pair = (user.as_bytes().to_vec(), password.as_bytes().to_vec());
        match &mut config.settings.auth {
            Some(AuthConfig { method: before, passwords: Passwords::List(list) }) => {
                if *before != method {
                    return Err(invalid("users before have another kind of authentication"));
                }
                list.push(pair);
            }
            other => *other = Some(AuthConfig { method, passwords: Passwords::List(vec![pair]) }),
        }
        Ok(())
    })
}
