package tcg_test

import (
	"bytes"
	"crypto"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/tcg"
	"github.com/google/go-eventlog/register"
	peer "github.com/google/go-eventlog/tcg"
	logs "github.com/google/go-eventlog/testdata"
)

// realLogs are logs of real machines that come with go-eventlog (Apache-2.0), and
// whether Secure Boot was on.
func realLogs() map[string]struct {
	data   []byte
	secure bool
} {
	type real = struct {
		data   []byte
		secure bool
	}
	return map[string]real{
		"arch":             {logs.ArchLinuxWorkstationEventLog, false},
		"glinux":           {logs.GlinuxAlexEventLog, false},
		"rhel-8":           {logs.Rhel8EventLog, true},
		"ubuntu-18.04":     {logs.Ubuntu1804AmdSevEventLog, false},
		"ubuntu-21.04":     {logs.Ubuntu2104NoDbxEventLog, false},
		"ubuntu-no-sb":     {logs.Ubuntu2104NoSecureBootEventLog, false},
		"ubuntu-24.04-snp": {logs.Ubuntu2404AmdSevSnpEventLog, false},
		"cos-85":           {logs.Cos85AmdSevEventLog, true},
		"cos-93":           {logs.Cos93AmdSevEventLog, true},
		"cos-101":          {logs.Cos101AmdSevEventLog, true},
	}
}

// registersOf returns a replay's values as go-eventlog takes them.
func registersOf(t *testing.T, log *tcg.Log, a tcg.Algorithm, hash crypto.Hash) []register.MR {
	t.Helper()
	all, err := log.ReplayTPM(a)
	if err != nil {
		t.Fatal(err)
	}
	var out []register.MR
	for i, r := range all {
		if r.Extended {
			out = append(out, register.FakeMR{Index: i, Digest: r.Value, DigestAlg: hash})
		}
	}
	return out
}

// TestReplayAsPeer: go-eventlog replays every real log to the values that we do,
// and to no others.
func TestReplayAsPeer(t *testing.T) {
	for name, l := range realLogs() {
		t.Run(name, func(t *testing.T) {
			log, err := tcg.Parse(l.data)
			if err != nil {
				t.Fatal(err)
			}
			for a, hash := range map[tcg.Algorithm]crypto.Hash{tcg.SHA1: crypto.SHA1, tcg.SHA256: crypto.SHA256, tcg.SHA384: crypto.SHA384} {
				if log.Events[0].Digest(a) == nil {
					continue
				}
				mrs := registersOf(t, log, a, hash)
				if _, err := peer.ParseAndReplay(l.data, mrs, peer.ParseOpts{}); err != nil {
					t.Errorf("%s: %v", a, err)
				}
				mrs[0] = register.FakeMR{Index: mrs[0].Idx(), Digest: bytes.Repeat([]byte{1}, a.Size()), DigestAlg: hash}
				if _, err := peer.ParseAndReplay(l.data, mrs, peer.ParseOpts{}); err == nil {
					t.Errorf("%s: go-eventlog accepts another register, so that it proves nothing here", a)
				}
			}
			sb, err := log.ReadSecureBoot(tcg.SHA256, 7)
			if err != nil || sb.Enabled != l.secure {
				t.Errorf("Secure Boot %+v, %v, want %v", sb, err, l.secure)
			}
		})
	}
}

// TestSHA1Only: the format from before there were banks is refused by name.
func TestSHA1Only(t *testing.T) {
	_, err := tcg.Parse(logs.Debian10EventLog)
	if err == nil || !strings.Contains(err.Error(), "Spec ID Event03") {
		t.Errorf("error %v, want the header that was expected", err)
	}
}

// FuzzParse: no bytes make the parser or a replay panic, and none lead go-eventlog
// to registers that we do not see.
func FuzzParse(f *testing.F) {
	for _, l := range realLogs() {
		f.Add(l.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := tcg.Parse(data)
		if (log == nil) == (err == nil) {
			t.Fatalf("log %v and error %v", log, err)
		}
		if area, areaErr := tcg.ParseArea(data); err == nil && (areaErr != nil || len(area.Events) != len(log.Events)) {
			t.Errorf("an area reads otherwise: %v", areaErr)
		}
		if err != nil {
			return
		}
		for _, a := range log.Algorithms {
			if _, err := log.ReplayTPM(a); err != nil {
				continue
			}
			_, _ = log.ReadSecureBoot(a, 7)
			log.ExitedBootServices(a)
		}
		_, _ = log.ReplayTDX()
	})
}
