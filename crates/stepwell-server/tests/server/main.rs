//! Tests of the server as others use it: through its router and over TCP.
