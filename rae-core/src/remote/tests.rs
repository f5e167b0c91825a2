//! Addresses, keys and names; and servers that misbehave, over real sockets.

use super::*;
