package tcg_test

import (
	"bytes"
	"crypto"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/tcg"
	"github.com/google/go-eventlog/register"
	peer "github.com/google/go-eventlog/tcg"
	logs "github.com/google/go-eventlog/testdata"
)

// realLogs are logs of real machines that come with go-eventlog (Apache-2.0).
func realLogs() map[string][]byte {
	return map[string][]byte{
		"arch":             logs.ArchLinuxWorkstationEventLog,
		"debian-10":        logs.Debian10EventLog,
		"glinux":           logs.GlinuxAlexEventLog,
		"rhel-8":           logs.Rhel8EventLog,
		"ubuntu-18.04":     logs.Ubuntu1804AmdSevEventLog,
		"ubuntu-21.04":     logs.Ubuntu2104NoDbxEventLog,
		"ubuntu-no-sb":     logs.Ubuntu2104NoSecureBootEventLog,
		"ubuntu-24.04-snp": logs.Ubuntu2404AmdSevSnpEventLog,
		"cos-85":           logs.Cos85AmdSevEventLog,
		"cos-93":           logs.Cos93AmdSevEventLog,
		"cos-101":          logs.Cos101AmdSevEventLog,
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

// TestReplayAsPeer: go-eventlog replays every real log to the values that we do.
func TestReplayAsPeer(t *testing.T) {
	for name, data := range realLogs() {
		t.Run(name, func(t *testing.T) {
			log, err := tcg.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			for a, hash := range map[tcg.Algorithm]crypto.Hash{tcg.SHA1: crypto.SHA1, tcg.SHA256: crypto.SHA256, tcg.SHA384: crypto.SHA384} {
				if log.Events[0].Digest(a) == nil {
					continue
				}
				mrs := registersOf(t, log, a, hash)
				if _, err := peer.ParseAndReplay(data, mrs, peer.ParseOpts{}); err != nil {
					t.Errorf("%s: %v", a, err)
				}
				mrs[0] = register.FakeMR{Index: mrs[0].Idx(), Digest: bytes.Repeat([]byte{1}, a.Size()), DigestAlg: hash}
				if _, err := peer.ParseAndReplay(data, mrs, peer.ParseOpts{}); err == nil {
					t.Errorf("%s: go-eventlog accepts another register, so that it proves nothing here", a)
				}
			}
			sb, err := log.ReadSecureBoot(tcg.SHA256, 7)
			zero := 0
			for _, e := range log.Events {
				if e.Type == tcg.NoAction && len(bytes.Trim(e.Digests[0].Value, "\x00")) != 0 {
					zero++
				}
			}
			t.Log(err, sb != nil && sb.Enabled, log.ExitedBootServices(tcg.SHA256), zero)
		})
	}
}
