#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A test CA and leaves good, expired, not yet valid, for another host and of another CA, in the folder $1
# (made whole or not at all: a second caller at the same time is harmless).
set -eu
final=$1
[ -e "$final/done" ] && exit 0
work=$(mktemp -d "$final.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout "$1.key" -out "$1.pem" \
        -subj "/CN=$2" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}
# name, common name, alternative names, extended use, CA [, not before, not after]: openssl ca, because x509 -req
# of 3.0 cannot set a start date
leaf() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/O=Marty test/CN=$2"
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n' "$3" "$4" >"$1.ext"
    : >"$5.idx"
    echo unique_subject=no >"$5.idx.attr"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s.idx\nnew_certs_dir=.\ncertificate=%s.pem\nprivate_key=%s.key\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\norganizationName=optional\ncommonName=supplied\n' \
        "$5" "$5" "$5" >"$5.cnf"
    openssl ca -batch -notext -config "$5.cnf" -in "$1.csr" -out "$1.pem" -extfile "$1.ext" \
        -startdate "${6:-20240101000000Z}" -enddate "${7:-20391231235959Z}"
}
names='DNS:localhost,IP:127.0.0.1,IP:::1'
{
    ca ca 'Marty test CA'
    ca otherca 'Some other CA'
    leaf server localhost "$names" serverAuth ca
    leaf node localhost "$names" serverAuth,clientAuth ca
    leaf client marty-client DNS:marty-client clientAuth ca
    leaf rogue marty-client DNS:marty-client clientAuth otherca
    leaf expired localhost "$names" serverAuth ca 20230101000000Z 20230201000000Z
    leaf notyet localhost "$names" serverAuth ca 20380101000000Z 20381231000000Z
    leaf wronghost broker.example.org DNS:broker.example.org serverAuth ca
    openssl genpkey -algorithm ed25519 -out nkey.pem
    openssl pkey -in nkey.pem -outform DER -out nkey.der
    openssl pkey -in nkey.pem -pubout -outform DER -out nkey.pub
} >make.log 2>&1 || { cat make.log >&2; exit 1; }
: >done
chmod 755 .
mv -T "$work" "$final" 2>/dev/null || [ -e "$final/done" ]
trap - EXIT
rm -rf "$work"
