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

# name, common name [, alternative names, extended use, CA, not before, not after]; without a CA it is one itself, by its
# own key. openssl ca, because x509 -req of 3.0 cannot set a start date: hosts an hour behind shall trust them, too.
certificate() {
    by=${5:-$1}
    use='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n'
    [ "$by" = "$1" ] || use="subjectAltName=$3\nextendedKeyUsage=$4\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "/O=Marty test/CN=$2"
    printf '%b' "$use" >"$1.ext"
    : >"$by.idx"
    echo unique_subject=no >"$by.idx.attr"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s.idx\nnew_certs_dir=.\ncertificate=%s.pem\nprivate_key=%s.key\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\norganizationName=optional\ncommonName=supplied\n' \
        "$by" "$by" "$by" >"$by.cnf"
    # shellcheck disable=SC2046
    openssl ca -batch -notext $([ "$by" != "$1" ] || echo -selfsign) -config "$by.cnf" -in "$1.csr" -out "$1.pem" -extfile "$1.ext" \
        -startdate "${6:-20240101000000Z}" -enddate "${7:-20391231235959Z}"
}
names='DNS:localhost,IP:127.0.0.1,IP:::1'
{
    certificate ca 'Marty test CA'
    certificate otherca 'Some other CA'
    certificate server localhost "$names" serverAuth ca
    certificate node localhost "$names" serverAuth,clientAuth ca
    certificate client marty-client DNS:marty-client clientAuth ca
    certificate rogue marty-client DNS:marty-client clientAuth otherca
    certificate expired localhost "$names" serverAuth ca 20230101000000Z 20230201000000Z
    certificate notyet localhost "$names" serverAuth ca 20380101000000Z 20381231000000Z
    certificate wronghost broker.example.org DNS:broker.example.org serverAuth ca
    openssl genpkey -algorithm ed25519 -out nkey.pem
    openssl pkey -in nkey.pem -outform DER -out nkey.der
    openssl pkey -in nkey.pem -pubout -outform DER -out nkey.pub
} >make.log 2>&1 || { cat make.log >&2; exit 1; }
: >done
chmod 755 .
mv -T "$work" "$final" 2>/dev/null || [ -e "$final/done" ]
trap - EXIT
rm -rf "$work"
