//! Logins with tokens minted here.
