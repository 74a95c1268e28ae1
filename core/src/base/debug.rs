//! `Debug` for types whose fields tell a reader nothing: locks, mapped memory, callbacks.

/// Implements `Debug` as the name of the type and `..`, without touching a field.
macro_rules! opaque_debug {
    ($name:ident $(<$($lifetime:lifetime),+>)?) => {
        impl $(<$($lifetime),+>)? std::fmt::Debug for $name $(<$($lifetime),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}
