# What a machine needs to build and to test, installed where it is missing. Sourced by scripts/demo and scripts/test.
#
# Debian and Ubuntu: packages through apt, as root or through sudo. Elsewhere the missing commands are named.
# Rust comes through rustup where cargo is absent or older than Cargo.toml's rust-version.

step() { printf '\n== %s\n' "$*" >&2; }
note() { printf '   %s\n' "$*" >&2; }
fail() { printf '\n%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

# need COMMAND PACKAGE...: remembers the first of the packages that apt knows, unless the command is there.
missing_commands=()
missing_packages=()
need() {
    command -v "$1" >/dev/null && return
    missing_commands+=("$1")
    shift
    missing_packages+=("$*")
}

install_missing() {
    [ ${#missing_commands[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "please install: ${missing_commands[*]}"
    step "Installing Debian packages for: ${missing_commands[*]}"
    as_root apt-get -qq update
    local choices choice chosen=()
    for choices in "${missing_packages[@]}"; do
        for choice in $choices; do
            if apt-cache show "$choice" >/dev/null 2>&1; then
                chosen+=("$choice")
                break
            fi
        done
    done
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${chosen[@]}" >/dev/null
    missing_commands=()
    missing_packages=()
}

# What librdkafka, SQLite and ring are compiled with.
need_build_tools() {
    need cc build-essential
    need c++ build-essential
    need make build-essential
    need pkg-config pkg-config
    [ -e /usr/include/openssl/ssl.h ] || need openssl-headers libssl-dev
    need curl curl
    [ -e /etc/ssl/certs/ca-certificates.crt ] || need no-certificates ca-certificates
}

# The server's programs, which Debian keeps out of the path. Its package also makes and starts a database, which nobody
# here asked for, unless it is told not to beforehand.
need_postgres() {
    command -v initdb >/dev/null && return
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return
    need postgres-server postgresql
    command -v apt-get >/dev/null || return 0
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/forewarn.conf >/dev/null
}

rust_version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }

# need_rust older|other: what does not do, a toolchain older than rust-version or any other one. Lints change from one
# version to the next, so tests want exactly that version where rustup can give it; a build takes any later one.
need_rust() {
    local wanted have
    wanted=$(rust_version)
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    # Installed here before, beside whatever is the default.
    if command -v rustup >/dev/null && rustup toolchain list 2>/dev/null | grep -q "^$wanted-"; then
        export RUSTUP_TOOLCHAIN=$wanted
        return
    fi
    have=$(cd "$root" && RUSTUP_AUTO_INSTALL=0 cargo --version 2>/dev/null | cut -d' ' -f2) || true
    case $have in
    "$wanted" | "$wanted".*) return ;;
    esac
    if [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ]; then
        [ "$1" = other ] && command -v rustup >/dev/null || return 0
    fi
    step "Installing Rust $wanted through rustup (found: ${have:-none})"
    if command -v rustup >/dev/null; then
        rustup toolchain install "$wanted" --profile minimal --component clippy --component rustfmt >&2
    else
        local folder
        folder=$(mktemp -d)
        curl -fsSL -o "$folder/rustup-init" \
            "${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
        chmod +x "$folder/rustup-init"
        "$folder/rustup-init" -y -q --no-modify-path --profile minimal --default-toolchain "$wanted" \
            --component clippy --component rustfmt >&2
        rm -rf "$folder"
    fi
    export RUSTUP_TOOLCHAIN=$wanted
}

# Where the build puts the program.
program() {
    cargo metadata --locked --format-version 1 --no-deps | sed 's#.*"target_directory":"\([^"]*\)".*#\1/debug/forewarn#'
}

# The first build of a clone compiles some 380 crates, and librdkafka and SQLite from source.
is_first_build() { [ ! -d "${CARGO_TARGET_DIR:-$root/target}/debug/deps" ]; }
