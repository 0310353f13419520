package tdx_test

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// TestEventLog: of the data only what was measured is passed on.
func TestEventLog(t *testing.T) {
	for _, v := range attesttest.TDXVectors(t) {
		if v.Row != "T22" || v.Stage != attesttest.StageNone {
			continue
		}
		claims, err := quotes().Forged(t, v.Roots[0]).Verify(v.Evidence, v.Endorsements, v.At)
		if err != nil {
			t.Fatal(err)
		}
		log := claims.Detail.(*tdx.Claims).EventLog
		if log == nil || len(log.Events) != 5 {
			t.Fatalf("%s: log %+v, want 5 events", v.Name, log)
		}
		for i, want := range []struct {
			rtmr int
			kind string
			data string
		}{{0, "EV_EFI_VARIABLE_DRIVER_CONFIG", "variable"}, {0, "EV_SEPARATOR", "\x00\x00\x00\x00"}, {1, "EV_EFI_ACTION", "boot"}, {2, "EV_IPL", "kernel"}, {3, "EV_EVENT_TAG", "policy"}} {
			e := log.Events[i]
			if v.Name == "log-with-other-data" && want.data == "kernel" {
				want.data = ""
			}
			if e.RTMR != want.rtmr || e.Type != want.kind || string(e.Data) != want.data || e.Digest == [48]byte{} {
				t.Errorf("%s: event %d: %+v, want %+v", v.Name, i, e, want)
			}
		}
	}
}

// TestEventLogSaysWhy: a log that cannot be replayed leads to no registers, which is
// another fault than to lead to others.
func TestEventLogSaysWhy(t *testing.T) {
	for _, v := range attesttest.TDXVectors(t) {
		if v.Name != "mrtd-extended" {
			continue
		}
		_, err := quotes().Forged(t, v.Roots[0]).Verify(v.Evidence, v.Endorsements, v.At)
		failed := dcaptest.Failure(t, err).Failed()
		if len(failed) != 1 || !strings.Contains(failed[0].Seen, "register 0") {
			t.Errorf("%v, want that register 0 is extended", failed)
		}
		return
	}
	t.Error("no such vector")
}

// FuzzEventLog: a log is accepted only if it leads to the registers.
func FuzzEventLog(f *testing.F) {
	v, c := quotes().Intel(f), quotes().Capture(f, "v4-cos-113")
	f.Add(dcaptest.File(f, attest.TDX, c.Log))
	f.Add(dcaptest.File(f, attest.TDX, "CCEL_data")[:16<<10])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := v.Verify(quotes().Evidence(t, c), attest.Endorsements{{Label: attest.LabelEventLog, Data: data}}, c.At)
		if err == nil {
			t.Fatal("accepted without collateral")
		}
		dcaptest.Failure(t, err)
	})
}
