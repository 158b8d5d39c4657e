//! `sqlx::migrate!` embeds `migrations/`; cargo must know that a new file there changes the program.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
