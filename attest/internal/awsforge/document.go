package awsforge

import (
	"maps"
	"slices"
)

// Document is the signed content of an attestation document (NSM 2.2). The zero
// value of a field other than those that AWS demands is AWS's way.
type Document struct {
	ModuleID, Digest string
	Timestamp        uint64 // milliseconds since 1970
	PCRs             map[uint64][]byte
	Certificate      []byte
	CABundle         [][]byte
	// PublicKey, UserData and Nonce are null if nil.
	PublicKey, UserData, Nonce []byte
	// Definite writes the map with its length, as older versions of the Nitro
	// system do. Newer ones stream it.
	Definite bool
	// OmitNull leaves out what is nil.
	OmitNull bool
	// Edit may change the fields before they are written.
	Edit func(fields []Pair) []Pair
}

// Fields returns the fields in the order in which AWS writes them.
func (d Document) Fields() []Pair {
	out := []Pair{
		{Text("module_id"), Text(d.ModuleID)},
		{Text("digest"), Text(d.Digest)},
		{Text("timestamp"), Uint(d.Timestamp)},
		{Text("pcrs"), d.Registers()},
		{Text("certificate"), Bytes(d.Certificate)},
		{Text("cabundle"), d.Bundle()},
	}
	for _, f := range []struct {
		name  string
		value []byte
	}{{"public_key", d.PublicKey}, {"user_data", d.UserData}, {"nonce", d.Nonce}} {
		switch {
		case f.value != nil:
			out = append(out, Pair{Text(f.name), Bytes(f.value)})
		case !d.OmitNull:
			out = append(out, Pair{Text(f.name), Null()})
		}
	}
	return out
}

// Registers returns the map of PCRs, in rising order.
func (d Document) Registers() Item {
	var pairs []Pair
	for _, i := range slices.Sorted(maps.Keys(d.PCRs)) {
		pairs = append(pairs, Pair{Uint(i), Bytes(d.PCRs[i])})
	}
	return Map(pairs...)
}

// Bundle returns the array of CA certificates.
func (d Document) Bundle() Item {
	items := make([]Item, len(d.CABundle))
	for i, der := range d.CABundle {
		items[i] = Bytes(der)
	}
	return Array(items...)
}

// Encode returns the document as it is signed.
func (d Document) Encode() []byte {
	fields := d.Fields()
	if d.Edit != nil {
		fields = d.Edit(fields)
	}
	if d.Definite {
		return Map(fields...)
	}
	return Streamed(fields...)
}

// Set returns the fields with another value for one of them.
func Set(fields []Pair, name string, value Item) []Pair {
	out := slices.Clone(fields)
	for i := range out {
		if string(out[i].Key) == string(Text(name)) {
			out[i].Value = value
		}
	}
	return out
}

// Without returns the fields without one of them.
func Without(fields []Pair, name string) []Pair {
	return slices.DeleteFunc(slices.Clone(fields), func(p Pair) bool { return string(p.Key) == string(Text(name)) })
}

// Rename returns the fields with another name for one of them.
func Rename(fields []Pair, from, to string) []Pair {
	out := slices.Clone(fields)
	for i := range out {
		if string(out[i].Key) == string(Text(from)) {
			out[i].Key = Text(to)
		}
	}
	return out
}
