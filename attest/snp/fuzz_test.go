package snp_test

import (
	"bytes"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
	"github.com/blindbox/blindbox/attest/snp"
)

// line is a product as the independent encoder names it.
func line(p snp.Product) amdforge.Line {
	switch p {
	case snp.Turin:
		return amdforge.Turin
	case snp.Milan:
		return amdforge.Milan
	}
	return amdforge.Genoa
}

// FuzzParseReport compares what the parser accepts with an encoder that was
// written apart from it: every byte of an accepted report is in a field that
// both know, or is zero.
func FuzzParseReport(f *testing.F) {
	for _, m := range machines {
		f.Add(m.evidence(f).Data)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := snp.ParseReport(data)
		if (r == nil) == (err == nil) {
			t.Fatalf("report %v, error %v", r, err)
		}
		if err != nil {
			return
		}
		theirs, err := amdforge.DecodeReport(line(r.Product), data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs.Encode(), data) {
			t.Error("accepted bytes that are in no field")
		}
		if theirs.Version != r.Version || theirs.Policy != uint64(r.Policy) || theirs.PlatformInfo != uint64(r.PlatformInfo) ||
			theirs.Measurement != r.Measurement || theirs.ReportData != r.ReportData || theirs.HostData != r.HostData ||
			theirs.VMPL != r.VMPL || theirs.GuestSVN != r.GuestSVN || theirs.ChipID != r.ChipID ||
			theirs.SigningKey != uint8(r.SigningKey) || theirs.AuthorKeyEn != r.AuthorKeyEn || theirs.MaskChipKey != r.MaskChipKey ||
			theirs.IDKeyDigest != r.IDKeyDigest || theirs.AuthorKeyDigest != r.AuthorKeyDigest ||
			theirs.FamilyID != r.FamilyID || theirs.ImageID != r.ImageID || theirs.ReportID != r.ReportID || theirs.ReportIDMA != r.ReportIDMA ||
			theirs.LaunchMitVector != r.LaunchMitVector || theirs.CurrentMitVector != r.CurrentMitVector {
			t.Errorf("fields differ: %+v, %+v", theirs, r)
		}
		for _, tcb := range [][2]any{
			{theirs.CurrentTCB, r.CurrentTCB}, {theirs.ReportedTCB, r.ReportedTCB},
			{theirs.CommittedTCB, r.CommittedTCB}, {theirs.LaunchTCB, r.LaunchTCB},
		} {
			if snp.TCB(tcb[0].(amdforge.TCB)) != tcb[1].(snp.TCB) {
				t.Errorf("TCB differs: %v, %v", tcb[0], tcb[1])
			}
		}
	})
}

// FuzzParseCertTable holds that an accepted table is its entries and zeros.
func FuzzParseCertTable(f *testing.F) {
	vek := vector(f, "genoa-v5-oak.vek.der")
	f.Add(amdforge.CertTable())
	f.Add(amdforge.CertTable(amdforge.TableEntry{GUID: amdforge.GUIDVCEK, Data: vek}))
	f.Add(append(amdforge.CertTable(amdforge.TableEntry{GUID: amdforge.GUIDVCEK, Data: vek}, amdforge.TableEntry{GUID: amdforge.GUIDCRL, Data: []byte{1}}), 0, 0))
	f.Add(amdforge.TableIndex(amdforge.TableRow{GUID: amdforge.GUIDVCEK, Offset: 1<<32 - 1, Length: 1<<32 - 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := snp.ParseCertTable(data)
		if err != nil {
			if table != nil {
				t.Fatal("both a table and an error")
			}
			return
		}
		size := 24 * (len(table) + 1)
		seen := make(map[snp.GUID]bool)
		for _, e := range table {
			if seen[e.GUID] || len(e.Data) == 0 {
				t.Errorf("entry %s twice or empty", e.GUID)
			}
			seen[e.GUID] = true
			size += len(e.Data)
		}
		if size > len(data) {
			t.Errorf("entries of %d bytes in a table of %d", size, len(data))
		}
	})
}

// FuzzVerify holds that nothing verifies but the evidence that hardware signed,
// whatever is changed in it or in what comes with it.
func FuzzVerify(f *testing.F) {
	for _, m := range machines {
		vek := m.endorsements(f)[0].Data
		f.Add(m.evidence(f).Data, vek, []byte{}, []byte{})
		f.Add(m.evidence(f).Data, []byte{}, amdforge.CertTable(amdforge.TableEntry{GUID: amdforge.GUIDVCEK, Data: vek}), []byte{})
	}
	amd := attesttest.New()
	ev, end := amd.Make(f, [64]byte{1})
	vek, _, _ := end.Get(attest.LabelSNPVEK)
	crl, _, _ := end.Get(attest.LabelSNPARKCRL)
	f.Add(ev.Data, vek, []byte{}, crl)

	signed := map[string]bool{string(ev.Data[:0x2a0]): true}
	for _, m := range machines {
		signed[string(m.evidence(f).Data[:0x2a0])] = true
	}
	real, forged := amdVerifier(f), forgedVerifier(f, amd, attest.SNP)
	f.Fuzz(func(t *testing.T, report, vek, table, crl []byte) {
		end := attest.Endorsements{}
		for label, data := range map[string][]byte{
			attest.LabelSNPVEK: vek, attest.LabelSNPCertTable: table, attest.LabelSNPARKCRL: crl, attest.LabelSNPASKCRL: crl,
		} {
			if len(data) > 0 {
				end = append(end, attest.Endorsement{Label: label, Data: data})
			}
		}
		for _, v := range []*snp.Verifier{real, forged} {
			for _, at := range []int{2023, 2025, 2026} {
				claims, err := v.Verify(attest.Evidence{Kind: attest.SNP, Data: report}, end, day(at, 6, 15))
				if (claims == nil) == (err == nil) {
					t.Fatalf("claims %v, error %v", claims, err)
				}
				if err == nil && !signed[string(report[:0x2a0])] {
					t.Fatal("verified what no hardware signed")
				}
				if err != nil && failure(t, err).Code() == "" {
					t.Fatalf("refused without a code: %v", err)
				}
			}
		}
	})
}
