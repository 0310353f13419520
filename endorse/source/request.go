package source

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// FromRequest is the inverse of an object's address: it returns the object that
// a path, a query and a posted body ask for. The order of the query and leading
// zeros in it do not matter, since other clients write them otherwise. What no
// constructor of this package would make is refused.
func FromRequest(path, rawQuery string, body []byte) (Object, error) {
	if len(path)+len(rawQuery) > 1<<10 {
		return Object{}, fmt.Errorf("source: address of %d bytes, limit %d", len(path)+len(rawQuery), 1<<10)
	}
	if path == "/" && rawQuery == "" && len(body) != 0 {
		return ParseOCSP(body)
	}
	q, err := parseQuery(rawQuery)
	if err != nil {
		return Object{}, err
	}
	if len(body) != 0 {
		return refuse("body for", path, "one for / only")
	}
	o, err := fromPath(strings.Split(strings.TrimPrefix(path, "/"), "/"), q)
	if err != nil {
		return Object{}, err
	}
	if len(q) != 0 {
		return refuse("query", rawQuery, "nothing more than the address needs")
	}
	return o, nil
}

// ParseKey is the inverse of [Object.Key] for objects that are asked with GET.
func ParseKey(key string) (Object, error) {
	name, rest, _ := strings.Cut(key, "/")
	path, query, _ := strings.Cut("/"+rest, "?")
	o, err := FromRequest(path, query, nil)
	if err == nil && o.host.String() != name {
		return refuse("host", name, o.host.String())
	}
	return o, err
}

// query is taken from, so that what is left over shows.
type query map[string]string

func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("source: query: %w", err)
	}
	q := query{}
	for name, v := range values {
		if len(v) != 1 {
			return nil, fmt.Errorf("source: query gives a name %d times, expected once", len(v))
		}
		q[name] = v[0]
	}
	return q, nil
}

func (q query) take(name string) string {
	v := q[name]
	delete(q, name)
	return v
}

func (q query) level(name string, bad *error) uint8 {
	v := q.take(name)
	n, err := strconv.ParseUint(v, 10, 8)
	if err != nil || len(v) > 3 {
		*bad = fmt.Errorf("source: %s is not a number from 0 to 255", name)
	}
	return uint8(n)
}

func fromPath(seg []string, q query) (Object, error) {
	switch {
	case len(seg) == 4 && (seg[0] == "vcek" || seg[0] == "vlek") && seg[1] == "v1" && seg[3] == "crl":
		return AMDCRL(seg[2], seg[0] == "vlek")
	case len(seg) == 4 && seg[0] == "vcek" && seg[1] == "v1":
		return vcekOf(seg[2], seg[3], q)
	case len(seg) == 3 && seg[0] == "v1" && seg[1] == "rim":
		return RIM(seg[2])
	case len(seg) == 1 && seg[0] == "IntelSGXRootCA.der":
		return IntelRootCRL(), nil
	case len(seg) >= 4 && seg[1] == "certification" && seg[2] == "v4":
		return pcsOf(TEE(seg[0]), strings.Join(seg[3:], "/"), q)
	}
	return refuse("path", strings.Join(seg, "/"), "an address of AMD's, Intel's or NVIDIA's service")
}

func vcekOf(line, id string, q query) (Object, error) {
	hwid, err := hex.DecodeString(id)
	if err != nil || len(id) > 128 {
		return refuse("hardware id", id, "hex")
	}
	var bad error
	var tcb TCB
	if line == "Turin" {
		tcb.FMC = q.level("fmcSPL", &bad)
	}
	tcb.Bootloader, tcb.TEE = q.level("blSPL", &bad), q.level("teeSPL", &bad)
	tcb.SNP, tcb.Microcode = q.level("snpSPL", &bad), q.level("ucodeSPL", &bad)
	if bad != nil {
		return Object{}, bad
	}
	return VCEK(line, hwid, tcb)
}

func pcsOf(tee TEE, what string, q query) (Object, error) {
	switch {
	case what == "tcb":
		var fmspc [6]byte
		text := q.take("fmspc")
		if n, err := hex.Decode(fmspc[:], []byte(text[:min(len(text), 12)])); err != nil || n != 6 || len(text) != 12 {
			return refuse("FMSPC", text, "12 hex digits")
		}
		return TCBInfo(tee, fmspc, q.update())
	case what == "qe/identity":
		return QEIdentity(tee, q.update())
	case what == "pckcrl" && tee == SGX:
		if e := q.take("encoding"); e != "der" {
			return refuse("encoding", e, "der")
		}
		return PCKCRL(q.take("ca"))
	}
	return refuse("path", string(tee)+"/../"+what, "tcb, qe/identity or pckcrl")
}

// update reads the parameter; its default can be written out.
func (q query) update() Update {
	if u := Update(q.take("update")); u != "standard" {
		return u
	}
	return Standard
}
