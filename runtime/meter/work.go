package meter

// What compiling an instruction takes, from measurements of modules full of it, in
// units of a plain instruction's: about 0.25 µs with wazero's compiler on an EPYC
// server core. It bounds what loading takes and is no part of what running costs.
const (
	workPlain   = 1
	workCall    = 5
	workLabel   = 12 // of a br_table
	workLookUp  = 48 // of a piece
	workChecked = 8  // ends in a trap for some operands, or is several instructions
	workTable   = 16 // reads or writes a table
	workMemory  = 24
	workExit    = 40 // leaves the compiled code
	workByTable = 80 // call_indirect, beside workCall
	workBulk    = 100
	workBlock   = 14
	bulkBlocks  = 3 // a bulk operation is a loop of its own
	truncBlocks = 2 // a float is checked on its way to an integer
	// Every place where the code splits makes all others of the function dearer: at
	// squareBlocks of them, the work for one has grown by workBlock.
	squareBlocks = 210
	workLocal    = 1.0 / 16
)

// plainWork is what a numeric instruction in 0x45 to 0xc4 takes beside workPlain.
func plainWork(op byte) int {
	if plainCost(op) == costDivide || makesNaN(op) != 0 {
		return workChecked
	}
	return 0
}

// bodyWork is what compiling the function takes that was read last.
func (w *body) bodyWork() int {
	return w.work + w.blocks*workBlock*(squareBlocks+w.blocks)/squareBlocks + int(float64(w.locals)*workLocal)
}
