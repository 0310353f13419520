package inspect

import (
	"fmt"
	"strconv"
	"time"
)

const specNitro = "AWS Nitro Enclaves NSM API, docs/attestation_process.md; RFC 9052, 4.2; RFC 8949"

// nitroMeanings are by the path of the value in the document.
var nitroMeanings = map[string]string{
	"[0]":                 "protected header: algorithm",
	"[1]":                 "unprotected header",
	"[2]":                 "payload: the attestation document",
	"[3]":                 "signature, ECDSA P-384, r and s",
	"document.module_id":  "of the enclave",
	"document.digest":     "of the PCRs",
	"document.timestamp":  "by the hypervisor's clock",
	"document.pcrs.0":     "the enclave's image; all zero: a debug enclave",
	"document.pcrs.1":     "kernel and boot file system",
	"document.pcrs.2":     "the application",
	"document.pcrs.3":     "SHA-384 of the parent's IAM role",
	"document.pcrs.4":     "SHA-384 of the parent's instance id",
	"document.pcrs.8":     "certificate that signed the image; zero if unsigned",
	"document.pcrs.16":    "extended by the enclave; a box: its policy",
	"document.user_data":  "what the enclave asked to have signed; a box: SHA-512 of its statement",
	"document.nonce":      "as given by whoever asked",
	"document.public_key": "as given by whoever asked",
}

// nitro shows a COSE_Sign1 with an attestation document.
func nitro(data []byte) []Section {
	c := read("nitro attestation document", specNitro, data)
	w := &cborWalk{c: c, meanings: nitroMeanings}
	if len(data) > 0 && data[0] == 0xd2 {
		c.field(row{1, "tag", inHex, "18, COSE_Sign1"})
	}
	at := c.at
	if b := c.take(1, "COSE_Sign1"); c.ok() && b[0] != 0x84 {
		c.fail("the byte at %#x is %#x, expected an array of four", at, b[0])
	}
	for i := 0; i < 4 && c.ok(); i++ {
		if i == 2 {
			w.payload("[2]", "document")
			continue
		}
		w.value("["+strconv.Itoa(i)+"]", 0)
	}
	return append([]Section{c.section()}, w.certificates...)
}

// cborWalk shows each value under its path.
type cborWalk struct {
	c            *cursor
	meanings     map[string]string
	certificates []Section
}

// payload reads a byte string as CBOR of its own, in the place where it is.
func (w *cborWalk) payload(path, inner string) {
	at := w.c.at
	major, n := w.head(path)
	if major != 2 || !w.c.ok() || n > uint64(len(w.c.data)-w.c.at) {
		w.c.fail("%s at %#x is no byte string that fits", path, at)
		return
	}
	w.c.add(Field{Offset: at, Size: int(n), Name: path, Value: fmt.Sprintf("%d bytes", n), Meaning: w.meanings[path]})
	w.value(inner, 0)
}

// head reads the type and the argument of a value (RFC 8949, 3).
func (w *cborWalk) head(path string) (major byte, n uint64) {
	b := w.c.take(1, path)[0]
	major, n = b>>5, uint64(b&0x1f)
	switch {
	case n < 24:
	case n <= 27:
		n = be(w.c.take(1<<(n-24), path))
	case n == 31 && (major == 4 || major == 5):
		n = indefinite
	default:
		w.c.fail("%s has a length of additional information %d", path, n)
	}
	return major, n
}

// indefinite is the length of a list that ends with a break (RFC 8949, 3.2.1).
const indefinite = ^uint64(0)

// ends reports whether item i is not there any more.
func (w *cborWalk) ends(i, n uint64) bool {
	if !w.c.ok() || n != indefinite {
		return !w.c.ok() || i >= n
	}
	if w.c.at < len(w.c.data) && w.c.data[w.c.at] == 0xff {
		w.c.at++
		return true
	}
	return false
}

func (w *cborWalk) value(path string, depth int) {
	at := w.c.at
	major, n := w.head(path)
	if depth > maxDepth {
		w.c.fail("%s is more than %d deep", path, maxDepth)
	}
	if !w.c.ok() {
		return
	}
	if major == 2 || major == 3 {
		w.leaf(path, at, major, n)
		return
	}
	if major == 4 || major == 5 {
		w.items(path, at, major, n, depth)
		return
	}
	shown := strconv.FormatUint(n, 10)
	switch {
	case major == 1:
		shown = "-" + strconv.FormatUint(n+1, 10)
		if path == "[0].1" && n == 34 {
			shown += " ES384"
		}
	case major == 7 && n == 22:
		shown = "null"
	case major == 7:
		shown = "simple " + shown
	case major == 6:
		shown = "tag " + shown
	case path == "document.timestamp":
		shown += time.UnixMilli(int64(n)).UTC().Format(" 2006-01-02T15:04:05.000Z")
	}
	w.c.add(Field{Offset: at, Size: w.c.at - at, Name: path, Value: shown, Meaning: w.meanings[path]})
	if major == 6 {
		w.value(path, depth+1)
	}
}

func (w *cborWalk) leaf(path string, at int, major byte, n uint64) {
	if n > uint64(len(w.c.data)-w.c.at) {
		w.c.fail("%s needs %d bytes at %#x, %d are left", path, n, w.c.at, len(w.c.data)-w.c.at)
		return
	}
	body := w.c.take(int(n), path)
	f := Field{Offset: at, Size: w.c.at - at, Name: path, Value: inHex(body), Meaning: w.meanings[path]}
	if major == 3 {
		f.Value = text(body)
	}
	if len(body) > 200 && body[0] == 0x30 && (path == "document.certificate" || len(path) > 18 && path[:18] == "document.cabundle[") {
		f.Value = byteCount(body) + ", shown below"
		w.certificates = append(w.certificates, certificates(path, body)...)
	}
	w.c.add(f)
	if path == "[0]" {
		inner := &cborWalk{c: read("", "", body), meanings: w.meanings}
		inner.value("[0]", 0)
		for _, f := range inner.c.s.Fields {
			if f.Name == "[0]" {
				continue // the map that was just shown
			}
			f.Offset += w.c.at - int(n)
			w.c.add(f)
		}
	}
}

func (w *cborWalk) items(path string, at int, major byte, n uint64, depth int) {
	what := "array"
	if major == 5 {
		what = "map"
	}
	size := strconv.FormatUint(n, 10)
	if n == indefinite {
		size = "indefinite length"
	}
	w.c.add(Field{Offset: at, Size: w.c.at - at, Name: path, Value: what + " of " + size, Meaning: w.meanings[path]})
	for i := uint64(0); !w.ends(i, n); i++ {
		if major == 4 {
			w.value(fmt.Sprintf("%s[%d]", path, i), depth+1)
			continue
		}
		w.value(path+"."+w.key(path), depth+1)
	}
}

// key reads the key of a map's entry: text or a number.
func (w *cborWalk) key(path string) string {
	at := w.c.at
	major, n := w.head(path)
	switch {
	case !w.c.ok():
	case major == 0:
		return strconv.FormatUint(n, 10)
	case major == 1:
		return "-" + strconv.FormatUint(n+1, 10)
	case major == 3 && n <= 64 && n <= uint64(len(w.c.data)-w.c.at):
		return string(w.c.take(int(n), path))
	default:
		w.c.fail("a key of %s at %#x is neither a number nor a short text", path, at)
	}
	return ""
}
