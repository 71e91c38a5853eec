//! What every service image shares.
