//! Links against the N-API symbols of the Node process.
fn main() {
    napi_build::setup();
}
