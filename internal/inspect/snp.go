package inspect

import "fmt"

const specSNP = "AMD 56860 rev. 1.58, SEV Secure Nested Paging Firmware ABI, 7.3, ATTESTATION_REPORT"

const turinFamily = 0x1a

// snpReport shows an ATTESTATION_REPORT, 1184 bytes.
func snpReport(title string, data []byte) Section {
	c := read(title, specSNP, data)
	turin := len(data) > 0x188 && data[0x188] == turinFamily && data[0] >= 3
	tcb := tcbOf(turin)
	c.rows(
		row{4, "VERSION", number, "of this layout"},
		row{4, "GUEST_SVN", number, "security version that the guest's owner gave its image"},
		row{8, "POLICY", flags(bit{16, "SMT"}, bit{17, "reserved-1"}, bit{18, "MIGRATE_MA"}, bit{19, "DEBUG"}, bit{20, "SINGLE_SOCKET"},
			bit{21, "CXL_ALLOW"}, bit{22, "MEM_AES_256_XTS"}, bit{23, "RAPL_DIS"}, bit{24, "CIPHERTEXT_HIDING_DRAM"}, bit{25, "PAGE_SWAP_DISABLE"}),
			"what the guest allows; DEBUG lets the host read its memory, MIGRATE_MA lets another guest export it; low 16 bits are the least ABI version (4.3, GUEST_POLICY)"},
		row{16, "FAMILY_ID", inHex, "chosen by the guest's owner, from the ID block"},
		row{16, "IMAGE_ID", inHex, "chosen by the guest's owner, from the ID block"},
		row{4, "VMPL", number, "privilege level that asked: 0 is the most privileged, 4294967295 is the host"},
		row{4, "SIGNATURE_ALGO", named(number, le, map[uint64]string{1: "ECDSA P-384 with SHA-384"}), "chapter 10"},
		row{8, "CURRENT_TCB", tcb, "firmware that runs; component versions"},
		row{8, "PLATFORM_INFO", flags(bit{0, "SMT_EN"}, bit{1, "TSME_EN"}, bit{2, "ECC_EN"}, bit{3, "RAPL_DIS"}, bit{4, "CIPHERTEXT_HIDING_DRAM_EN"},
			bit{5, "ALIAS_CHECK_COMPLETE"}, bit{7, "TIO_EN"}), "what is switched on in the machine"},
		row{4, "KEY_INFO", showSigner, "who signed: bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 2-4 SIGNING_KEY"},
		row{4, "reserved", reserved, ""},
		row{64, "REPORT_DATA", inHex, "what the guest asked to have signed; a box: SHA-512 of its statement"},
		row{48, "MEASUREMENT", inHex, "launch digest: the memory that the guest was started with"},
		row{32, "HOST_DATA", inHex, "what the host bound at launch; a box: SHA-256 of its policy"},
		row{48, "ID_KEY_DIGEST", inHex, "SHA-384 of the key that signed the ID block"},
		row{48, "AUTHOR_KEY_DIGEST", inHex, "SHA-384 of the key that certified the ID key"},
		row{32, "REPORT_ID", inHex, "of this guest, until it ends"},
		row{32, "REPORT_ID_MA", inHex, "of the migration agent; all ones if there is none"},
		row{8, "REPORTED_TCB", tcb, "what the signing key was derived for"},
		row{1, "CPUID_FAM_ID", word, "processor family, from version 3"},
		row{1, "CPUID_MOD_ID", word, "processor model"},
		row{1, "CPUID_STEP", word, "processor stepping"},
		row{21, "reserved", reserved, ""},
		row{64, "CHIP_ID", inHex, "of this processor; zero if the host hides it"},
		row{8, "COMMITTED_TCB", tcb, "the host cannot go back below it"},
		row{1, "CURRENT_BUILD", number, "of the SNP firmware"},
		row{1, "CURRENT_MINOR", number, ""},
		row{1, "CURRENT_MAJOR", number, ""},
		row{1, "reserved", reserved, ""},
		row{1, "COMMITTED_BUILD", number, "the host cannot go back below it"},
		row{1, "COMMITTED_MINOR", number, ""},
		row{1, "COMMITTED_MAJOR", number, ""},
		row{1, "reserved", reserved, ""},
		row{8, "LAUNCH_TCB", tcb, "firmware at the guest's start"},
		row{8, "LAUNCH_MIT_VECTOR", word, "mitigations in effect at the guest's start, from version 5"},
		row{8, "CURRENT_MIT_VECTOR", word, "mitigations in effect now, from version 5"},
		row{152, "reserved", reserved, ""},
		row{72, "SIGNATURE.R", inHex, "little-endian"},
		row{72, "SIGNATURE.S", inHex, "little-endian, over everything before the signature"},
		row{368, "reserved", reserved, ""},
	)
	return c.section()
}

// tcbOf shows a TCB_VERSION (2.2), which Turin lays out differently.
func tcbOf(turin bool) func([]byte) string {
	return func(v []byte) string {
		if len(v) != 8 {
			return inHex(v)
		}
		if turin {
			return fmt.Sprintf("fmc %d, boot loader %d, tee %d, snp %d, microcode %d", v[0], v[1], v[2], v[3], v[7])
		}
		return fmt.Sprintf("boot loader %d, tee %d, snp %d, microcode %d", v[0], v[1], v[6], v[7])
	}
}

func showSigner(v []byte) string {
	n := le(v)
	names := map[uint64]string{0: "VCEK (the chip's)", 1: "VLEK (the cloud provider's)", 7: "nobody"}
	name, ok := names[n>>2&7]
	if !ok {
		name = "reserved"
	}
	return fmt.Sprintf("%s signed by %s, author key %d, chip key masked %d", word(v), name, n&1, n>>1&1)
}

// certTable shows the GUID table that a hypervisor supplies.
func certTable(title string, data []byte) []Section {
	names := map[string]string{
		"63da758de6644564adc5f4b93be8accd": "VCEK", "a8074bc2a25a483eaae639c045a0b8a1": "VLEK",
		"4ab7b379bbac4fe4a02f05aef327c782": "ASK", "c0b406a4a8034952974333fb6014d0ae": "ARK",
		"92f81bc358114d3d97ffd19f88dc67ea": "CRL",
	}
	c := read(title, "AMD 56421 rev. 2.03, GHCB Standardization, 4.1.8.1", data)
	var out []Section
	for c.ok() {
		at := c.at
		id, off, size := inHex(c.take(16, "GUID")), le(c.take(4, "offset")), le(c.take(4, "length"))
		if c.ok() && off == 0 && size == 0 {
			c.add(Field{Offset: at, Size: 24, Name: "end", Value: "no more entries"})
			break
		}
		if !c.ok() {
			break
		}
		name := names[id]
		if name == "" {
			name = "unknown"
		}
		c.add(Field{Offset: at, Size: 24, Name: name, Value: fmt.Sprintf("%d bytes at %#x", size, off), Meaning: "GUID " + id})
		if off+size > uint64(len(data)) {
			c.fail("%s ends at %#x, the table at %#x", name, off+size, len(data))
			break
		}
		out = append(out, certificates(title+": "+name, data[off:off+size])...)
	}
	return append([]Section{c.s}, out...)
}
