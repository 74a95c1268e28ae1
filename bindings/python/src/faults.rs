//! Injected faults.

use memcache_core::Fault;
use memcache_embed::faults::{self, Conditions, FaultError, InjectedFault};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::bytes_like::bytes_like;
use crate::errors;
use crate::handle::{CacheHandle, settled};
use crate::number::{Bytes, Float, Times};

/// The faults that a server injects for its clients.
///
/// ``Server.faults`` returns it. Each method adds a rule and returns it. The rule stays until
/// :meth:`FaultRule.remove`, the end of its ``with`` block, or :meth:`clear`. Faults apply to
/// commands of clients that read or change items, and not to the methods of ``Server.cache``.
///
/// Example:
///     >>> with Server() as server:
///     ...     with server.faults.error("out of order", command="get", times=1) as rule:
///     ...         pass  # The next get of a client fails.
///     ...     rule.remove()
///     0
#[pyclass(frozen, module = "memcache_rs")]
pub struct Faults(CacheHandle);

impl Faults {
    pub fn new(of: CacheHandle) -> Self {
        Self(of)
    }

    fn add(
        &self,
        fault: Fault,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        let (times, probability) = (times.map(|times| times.0), Some(probability.0));
        let key = key.map(|key| bytes_like(key, "key").map(|key| key.to_vec())).transpose()?;
        let when = Conditions { command, key, times, probability };
        let fault = faults::inject(settled(&self.0, "server")?, fault, when).map_err(refused)?;
        Ok(FaultRule { of: self.0.another(), fault })
    }
}

fn refused(error: FaultError) -> PyErr {
    errors::bad_argument(error.to_string())
}

#[pymethods]
impl Faults {
    /// Delays commands.
    ///
    /// Args:
    ///     seconds: How long a command waits before the server runs it.
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``seconds`` is not from 0 to 2**64, or ``probability`` not from 0 to 1.
    ///     OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> with Server() as server:
    ///     ...     rule = server.faults.delay(0.5, command="set")
    #[pyo3(signature = (seconds, *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, seconds, *, command=None, key=None, times=None, probability=1.0)")]
    fn delay(
        &self,
        seconds: Float,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(faults::delay(seconds.0).map_err(refused)?, command, key, times, probability)
    }

    /// Runs commands, and delays their replies.
    ///
    /// Later commands of the connection run in between. Their replies wait behind the delayed one.
    ///
    /// Args:
    ///     seconds: How long a reply waits after the command has run.
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``seconds`` is not from 0 to 2**64, or ``probability`` not from 0 to 1.
    ///     OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> with Server() as server:
    ///     ...     rule = server.faults.delay_reply(0.5, command="set")
    #[pyo3(signature = (seconds, *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, seconds, *, command=None, key=None, times=None, probability=1.0)")]
    fn delay_reply(
        &self,
        seconds: Float,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(faults::delay_reply(seconds.0).map_err(refused)?, command, key, times, probability)
    }

    /// Closes the connection in place of running a command.
    ///
    /// Args:
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``probability`` is not from 0 to 1.
    ///     OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> import socket
    ///     >>> with Server() as server, server.faults.drop(command="get"):
    ///     ...     with socket.create_connection(server.address) as client:
    ///     ...         client.sendall(b"get key\r\n")
    ///     ...         client.recv(100)
    ///     b''
    #[pyo3(signature = (*, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, *, command=None, key=None, times=None, probability=1.0)")]
    fn drop(
        &self,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(Fault::Drop, command, key, times, probability)
    }

    /// Answers commands with ``SERVER_ERROR`` in place of running them.
    ///
    /// Args:
    ///     message: The text after ``SERVER_ERROR``, one line.
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``message`` has a line break, or ``probability`` is not from 0 to 1.
    ///     OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> import socket
    ///     >>> with Server() as server, server.faults.error("out of order"):
    ///     ...     with socket.create_connection(server.address) as client:
    ///     ...         client.sendall(b"get key\r\n")
    ///     ...         client.recv(100)
    ///     b'SERVER_ERROR out of order\r\n'
    #[pyo3(signature = (message="injected", *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, message=\"injected\", *, command=None, key=None, times=None, probability=1.0)")]
    fn error(
        &self,
        message: &str,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(faults::error(message).map_err(refused)?, command, key, times, probability)
    }

    /// Lets commands that read find no item.
    ///
    /// Args:
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``probability`` is not from 0 to 1.
    ///     OutOfRangeError: ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> import socket
    ///     >>> with Server() as server, server.faults.miss(key="user:*"):
    ///     ...     server.cache.set("user:1", "Ada")
    ///     ...     with socket.create_connection(server.address) as client:
    ///     ...         client.sendall(b"get user:1\r\n")
    ///     ...         client.recv(100)
    ///     b'END\r\n'
    #[pyo3(signature = (*, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, *, command=None, key=None, times=None, probability=1.0)")]
    fn miss(
        &self,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        self.add(Fault::Miss, command, key, times, probability)
    }

    /// Cuts a reply off and closes the connection.
    ///
    /// Args:
    ///     after: The number of bytes of the reply that are sent.
    ///     command: A command name on the wire, such as ``get`` or ``mg``. ``None`` means all.
    ///     key: A pattern for keys, in which ``*`` stands for any bytes. ``None`` means all.
    ///     times: How often the fault is injected. ``None`` means without limit.
    ///     probability: The probability with which a matching command meets the fault.
    ///
    /// Returns:
    ///     The rule. It removes itself at the end of a ``with`` block.
    ///
    /// Raises:
    ///     ConfigError: ``probability`` is not from 0 to 1.
    ///     OutOfRangeError: ``after`` or ``times`` is negative, or does not fit in 64 bits.
    ///     TypeError: ``key`` is neither str nor bytes-like.
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> import socket
    ///     >>> with Server() as server, server.faults.truncate(3):
    ///     ...     with socket.create_connection(server.address) as client:
    ///     ...         client.sendall(b"get key\r\n")
    ///     ...         client.recv(100)
    ///     b'END'
    #[pyo3(signature = (after, *, command=None, key=None, times=None, probability=Float(1.0)), text_signature = "($self, after, *, command=None, key=None, times=None, probability=1.0)")]
    fn truncate(
        &self,
        after: Bytes,
        command: Option<String>,
        key: Option<&Bound<'_, PyAny>>,
        times: Option<Times>,
        probability: Float,
    ) -> PyResult<FaultRule> {
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.add(Fault::Truncate(after), command, key, times, probability)
    }

    /// Removes all rules.
    ///
    /// Raises:
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> with Server() as server:
    ///     ...     rule = server.faults.drop()
    ///     ...     server.faults.clear()
    fn clear(&self) -> PyResult<()> {
        settled(&self.0, "server")?.faults().clear();
        Ok(())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("server's faults"))
    }
}

/// A rule that injects a fault until it is removed.
///
/// The methods of :class:`Faults` return it. A ``with`` block removes it at its end.
///
/// Example:
///     >>> with Server() as server, server.faults.drop(command="get") as rule:
///     ...     pass  # Each get of a client ends its connection.
#[pyclass(frozen, module = "memcache_rs")]
pub struct FaultRule {
    of: CacheHandle,
    fault: InjectedFault,
}

#[pymethods]
impl FaultRule {
    /// Removes the rule. A second call changes nothing.
    ///
    /// Returns:
    ///     How often the fault was injected.
    ///
    /// Raises:
    ///     ForkError: The server belongs to the parent process.
    ///
    /// Example:
    ///     >>> with Server() as server:
    ///     ...     rule = server.faults.drop()
    ///     ...     rule.remove()
    ///     0
    fn remove(&self) -> PyResult<u64> {
        Ok(self.fault.remove(Some(settled(&self.of, "server")?)))
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.remove().map(|_| ())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("fault"))
    }
}
