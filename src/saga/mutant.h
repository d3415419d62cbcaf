/* SPDX-License-Identifier: Apache-2.0
 * Known mistakes. The simulation builds the machine and the engine once more with them, and picks
 * one at run time, to show that it finds each. Everywhere else there is none. */
#ifndef MARTY_SAGA_MUTANT_H
#define MARTY_SAGA_MUTANT_H

#ifdef SAGA_MUTANTS
extern int marty__saga_mutant;
#define MARTY__MUTANT(number, right, wrong) (marty__saga_mutant == (number) ? (wrong) : (right))
#else
#define MARTY__MUTANT(number, right, wrong) (right)
#endif
#endif
