#!/bin/sh
# Installs what the targets of tools/boards/targets.py are built with and run on, where that takes no question: by apt-get
# as root. Elsewhere it says in one line that it does not.
set -eu
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "nothing installed: not root, or no apt-get here"
    exit 0
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    clang libclang-rt-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross \
    gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user \
    gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-riscv64-unknown-elf qemu-system-arm qemu-system-misc
