# shellcheck shell=bash disable=SC2034 # the scripts of this folder use the variables
# Defines what the scripts of this folder share. They source it in the root of the repository.

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
# Debian's names of processors are Docker's, too: amd64 and arm64.
architecture=$(dpkg --print-architecture)
# The date of everything that is packed: that of the commit. In a container, the checkout may belong
# to another user.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory="$PWD" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# Options of tar that make equal archives of equal files.
reproducible=(--sort=name --owner=0 --group=0 --numeric-owner "--mtime=@$SOURCE_DATE_EPOCH")

# put_programs FROM TO installs the programs without symbols. FROM keeps them.
put_programs() {
    for program in memcached-rs mcrs; do
        install -D -m 755 "$1/$program" "$2/$program"
        "${STRIP:-strip}" --strip-all "$2/$program"
    done
}

put_documents() {
    install -D -m 644 -t "$1" README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT
}

# put_manual SHARE ZSH installs the manual pages and completions that `make man` has written. ZSH is
# the folder in SHARE/zsh that zsh searches.
put_manual() {
    install -D -m 644 -t "$1/man/man1" target/man/*.1
    install -D -m 644 -t "$1/bash-completion/completions" target/completions/bash/*
    install -D -m 644 -t "$1/zsh/$2" target/completions/zsh/*
    install -D -m 644 -t "$1/fish/vendor_completions.d" target/completions/fish/*
}
