package dcap

import (
	"fmt"
	"time"
)

// Status is what Intel says of a patch level (PCS API v4, tcbStatus) or what
// several such statements together amount to. The zero value is no status.
type Status uint8

// The statuses. The last two are never in Intel's data: they are what the
// verification makes of a TD that was started before its module was updated.
const (
	StatusUnknown Status = iota
	UpToDate
	SWHardeningNeeded
	ConfigurationNeeded
	ConfigurationAndSWHardeningNeeded
	OutOfDate
	OutOfDateConfigurationNeeded
	Revoked
	TDRelaunchAdvised
	TDRelaunchAdvisedConfigurationNeeded
)

var statusNames = [...]string{
	StatusUnknown:                        "Unknown",
	UpToDate:                             "UpToDate",
	SWHardeningNeeded:                    "SWHardeningNeeded",
	ConfigurationNeeded:                  "ConfigurationNeeded",
	ConfigurationAndSWHardeningNeeded:    "ConfigurationAndSWHardeningNeeded",
	OutOfDate:                            "OutOfDate",
	OutOfDateConfigurationNeeded:         "OutOfDateConfigurationNeeded",
	Revoked:                              "Revoked",
	TDRelaunchAdvised:                    "TDRelaunchAdvised",
	TDRelaunchAdvisedConfigurationNeeded: "TDRelaunchAdvisedConfigurationNeeded",
}

// String returns Intel's word for the status.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// MarshalText makes JSON say UpToDate rather than 1.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseStatus returns the status of that name; "Unknown" is none.
func ParseStatus(name string) (Status, bool) {
	for s := UpToDate; int(s) < len(statusNames); s++ {
		if statusNames[s] == name {
			return s, true
		}
	}
	return StatusUnknown, false
}

// Level is one entry of Intel's lists: the status of everything at least that
// new, since when, and which advisories it misses.
type Level struct {
	Status     Status
	Date       time.Time
	Advisories []string // "INTEL-SA-00837", in Intel's order
}

// TCB is how a machine stands. The parts are kept apart, because which of them
// may be behind is for the appraisal to say.
type TCB struct {
	// Status is what the parts together amount to, as Intel's Quote Verification
	// Library converges them.
	Status Status
	// Platform is the level whose every component the machine reaches: processor
	// and firmware, for TDX also the parts of the TDX module that are not in an
	// identity of its own.
	Platform Level
	// Hardware is the first level that the machine reaches in the components of
	// the processor alone; for SGX the same as Platform.
	Hardware Level
	// Module is that of the TDX module, nil for SGX and for modules that are
	// covered by Platform (version 0).
	Module   *Level
	ModuleID string // "TDX_01"; empty if Module is nil
	// QE is that of the quoting enclave.
	QE Level
	// Evaluation numbers of TCB info and QE identity (tcbEvaluationDataNumber):
	// they rise with each of Intel's TCB recoveries.
	Evaluation, QEEvaluation uint32
	// Advisories are those of all the levels above, sorted, each once.
	Advisories []string
}
