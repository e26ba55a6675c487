//! The GoWindowsImage API.
