package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/receipt"
)

// The types of records.
const (
	typeStart    = "start"    // a run of the box begins
	typeDecision = "decision" // the policy was asked
	typeHead     = "head"     // the box signs the chain so far
	typeGap      = "gap"      // records that never reached the sink
	typeBroken   = "broken"   // what stood here before cannot be believed
	typeStop     = "stop"     // the run ended in order
)

// maxLine bounds a line of the log. A head is the longest record.
const maxLine = 4 << 10

const timeForm = "2006-01-02T15:04:05.000000Z"

// record is one record, the members of all types in one struct. Its text holds
// those of its own type in the order of [record.append], and nothing else does.
type record struct {
	Seq  uint64 `json:"seq"`
	Time string `json:"time"`
	Type string `json:"type"`

	Boot     string `json:"boot"` // start
	Policy   string `json:"policy"`
	Kind     string `json:"kind"`
	Evidence string `json:"evidence"`
	Key      string `json:"key"`

	Caller string `json:"caller"` // decision
	Action string `json:"action"`
	Method string `json:"method"`
	Allow  bool   `json:"allow"`
	Line   int    `json:"line"`
	Code   int    `json:"code"`

	JWS string `json:"jws"` // head

	From  uint64 `json:"from"` // gap
	To    uint64 `json:"to"`
	Chain string `json:"chain"`

	Reason string `json:"reason"` // broken
}

// append writes the record's text.
func (r *record) append(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), r.Seq, 10)
	b = appendText(b, `,"time":`, r.Time)
	return r.appendRest(b)
}

// appendRest writes what stands behind the time.
func (r *record) appendRest(b []byte) []byte {
	b = appendText(b, `,"type":`, r.Type)
	switch r.Type {
	case typeStart:
		b = appendText(b, `,"boot":`, r.Boot)
		b = appendText(b, `,"policy":`, r.Policy)
		b = appendText(b, `,"kind":`, r.Kind)
		b = appendText(b, `,"evidence":`, r.Evidence)
		b = appendText(b, `,"key":`, r.Key)
	case typeDecision:
		b = appendText(b, `,"caller":`, r.Caller)
		b = appendText(b, `,"action":`, r.Action)
		b = appendText(b, `,"method":`, r.Method)
		b = strconv.AppendBool(append(b, `,"allow":`...), r.Allow)
		b = strconv.AppendInt(append(b, `,"line":`...), int64(r.Line), 10)
		b = strconv.AppendInt(append(b, `,"code":`...), int64(r.Code), 10)
	case typeHead:
		b = appendText(b, `,"jws":`, r.JWS)
	case typeGap:
		b = strconv.AppendUint(append(b, `,"from":`...), r.From, 10)
		b = strconv.AppendUint(append(b, `,"to":`...), r.To, 10)
		b = appendText(b, `,"chain":`, r.Chain)
	case typeBroken:
		b = appendText(b, `,"reason":`, r.Reason)
	}
	return append(b, '}')
}

// appendText writes a member whose value is a string. Names from the policy may
// hold any character; everything else needs no escapes.
func appendText(b []byte, member, value string) []byte {
	b = append(append(b, member...), '"')
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// chained returns the hash of a record: SHA-256 over the hash before it, the
// length of its text (eight bytes, big-endian), and the text.
func chained(prev receipt.Digest, text []byte) receipt.Digest {
	b := make([]byte, 0, len(prev)+8+len(text))
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
	return sha256.Sum256(append(b, text...))
}

// parseLine reads "HASH RECORD", without the line's end.
func parseLine(line []byte) (hash receipt.Digest, text []byte, r record, err error) {
	if len(line) < 2*len(hash)+2 || line[2*len(hash)] != ' ' {
		return receipt.Digest{}, nil, record{}, errors.New("not a hash, a space and a record")
	}
	hash, err = parseHash(string(line[:2*len(hash)]))
	if err != nil {
		return receipt.Digest{}, nil, record{}, err
	}
	text = line[2*len(hash)+1:]
	if r, err = parseRecord(text); err != nil {
		return receipt.Digest{}, nil, record{}, err
	}
	return hash, text, r, nil
}

// parseHash reads 64 digits in lower case.
func parseHash(s string) (receipt.Digest, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(receipt.Digest{}) || hex.EncodeToString(raw) != s {
		return receipt.Digest{}, errors.New("a hash that is not 64 digits in hex")
	}
	return receipt.Digest(raw), nil
}

// parseRecord accepts exactly what append writes.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := strictjson.Decode(text, &r, strictjson.Options{Limits: strictjson.Limits{Bytes: maxLine, Depth: 2}}); err != nil {
		return record{}, errors.New("a record that is not JSON of known members")
	}
	if _, err := time.Parse(timeForm, r.Time); err != nil {
		return record{}, fmt.Errorf("a time that is not of the form %s", timeForm)
	}
	switch r.Type {
	case typeStart, typeDecision, typeHead, typeGap, typeBroken, typeStop:
	default:
		return record{}, errors.New("a record of unknown type")
	}
	if string(r.append(nil)) != string(text) {
		return record{}, errors.New("a record that is not in its one spelling")
	}
	return r, nil
}

// head is what the box signs: how far the log goes, and who it is.
type head struct {
	Version int            `json:"v"`
	Seq     uint64         `json:"seq"`
	Chain   receipt.Digest `json:"chain"`
	Time    string         `json:"time"`
	Boot    string         `json:"boot"`
	Policy  receipt.Digest `json:"policy"`
	Kind    string         `json:"kind"`
	// Evidence and Simulated say the same as in a receipt.
	Evidence  receipt.Digest `json:"evidence"`
	Simulated bool           `json:"simulated"`
}
