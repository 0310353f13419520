package dcap

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// QEIdentity is what Intel says of its quoting enclave (PCS API v4, "Get QE
// Identity", version 2).
type QEIdentity struct {
	TEE                        TEE // SGX for "QE", TDX for "TD_QE"
	Dates                      Dates
	Evaluation                 uint32
	MiscSelect, MiscSelectMask uint32
	Attributes, AttributesMask [16]byte
	MRSIGNER                   [32]byte
	ISVProdID                  uint16
	Levels                     []SVNLevel // in Intel's order: the first that is reached counts
}

// ParseQEIdentity reads the body of an answer. Nothing in it is verified.
func ParseQEIdentity(body []byte) (*QEIdentity, error) {
	q, _, err := parseQEIdentity(body)
	if err != nil {
		return nil, fmt.Errorf("dcap: QE identity: %w", err)
	}
	return q, nil
}

func parseQEIdentity(body []byte) (*QEIdentity, *signedDocument, error) {
	q := &QEIdentity{}
	d, err := readDocument(body, "enclaveIdentity", q.read)
	if err != nil {
		return nil, nil, err
	}
	if q.Dates.NextUpdate.Before(q.Dates.Issued) {
		return nil, nil, errors.New("next update before the issue")
	}
	return q, d, nil
}

var identityMembers = []string{"id", "version", "issueDate", "nextUpdate", "tcbEvaluationDataNumber", "miscselect", "miscselectMask",
	"attributes", "attributesMask", "mrsigner", "isvprodid", "tcbLevels"}

func (q *QEIdentity) read(r *strictjson.Reader) error {
	return fields(r, identityMembers, 0, func(i int) error {
		switch identityMembers[i] {
		case "id":
			return q.readID(r)
		case "version":
			return readVersion(r, "version", 2)
		case "issueDate":
			return readDate(r, &q.Dates.Issued)
		case "nextUpdate":
			return readDate(r, &q.Dates.NextUpdate)
		case "tcbEvaluationDataNumber":
			n, err := r.Uint(32)
			q.Evaluation = uint32(n)
			return err
		case "miscselect":
			return readMisc(r, &q.MiscSelect)
		case "miscselectMask":
			return readMisc(r, &q.MiscSelectMask)
		case "attributes":
			return readHex(r, q.Attributes[:])
		case "attributesMask":
			return readHex(r, q.AttributesMask[:])
		case "mrsigner":
			return readHex(r, q.MRSIGNER[:])
		case "isvprodid":
			n, err := r.Uint(16)
			q.ISVProdID = uint16(n)
			return err
		default:
			return readSVNLevels(r, &q.Levels, UpToDate, OutOfDate, OutOfDateConfigurationNeeded, ConfigurationNeeded, Revoked)
		}
	})
}

// readID accepts the two enclaves that sign quotes. "QVE", the one that verifies
// them, signs none.
func (q *QEIdentity) readID(r *strictjson.Reader) error {
	id, err := r.String()
	switch {
	case err != nil:
	case id == "QE":
		q.TEE = SGX
	case id == "TD_QE":
		q.TEE = TDX
	default:
		err = fmt.Errorf("id %q, expected QE or TD_QE", id[:min(len(id), maxWord)])
	}
	return err
}

// readMisc reads MISCSELECT, written as the four bytes stand in the report
// (little-endian).
func readMisc(r *strictjson.Reader, dst *uint32) error {
	var b [4]byte
	err := readHex(r, b[:])
	*dst = binary.LittleEndian.Uint32(b[:])
	return err
}

// match establishes that the report is one of the enclave that the identity
// describes: by signer, product and the attributes under their masks. Debug is
// among the masked attributes, so no enclave whose memory can be read passes.
func (q *QEIdentity) match(e *EnclaveReport) *pki.Problem {
	flags, xfrm := q.Attributes[:8], q.Attributes[8:]
	flagsMask, xfrmMask := q.AttributesMask[:8], q.AttributesMask[8:]
	le := binary.LittleEndian
	for _, c := range []struct {
		name      string
		ok        bool
		got, want any
	}{
		{"MRSIGNER", e.MRSIGNER == q.MRSIGNER, e.MRSIGNER, q.MRSIGNER},
		{"ISVPRODID", e.ISVProdID == q.ISVProdID, e.ISVProdID, q.ISVProdID},
		{"MISCSELECT", e.MiscSelect&q.MiscSelectMask == q.MiscSelect, e.MiscSelect, q.MiscSelect},
		{"ATTRIBUTES", e.Attributes&le.Uint64(flagsMask) == le.Uint64(flags), e.Attributes, le.Uint64(flags)},
		{"XFRM", e.XFRM&le.Uint64(xfrmMask) == le.Uint64(xfrm), e.XFRM, le.Uint64(xfrm)},
	} {
		if !c.ok {
			return &pki.Problem{Code: CodeQEIdentity, Seen: fmt.Sprintf("%s %x", c.name, c.got), Expected: fmt.Sprintf("%x, under Intel's mask", c.want)}
		}
	}
	return nil
}

// level returns the first level whose SVN the enclave reaches, nil if none.
func (q *QEIdentity) level(isvsvn uint16) *Level {
	for i := range q.Levels {
		if q.Levels[i].ISVSVN <= isvsvn {
			return &q.Levels[i].Level
		}
	}
	return nil
}
