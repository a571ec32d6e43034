/* SPDX-License-Identifier: Apache-2.0 */
#include <iostream>
#include <stdexcept>

int main()
{
	try {
		throw std::runtime_error("C++");
	} catch (const std::exception &e) {
		std::cout << e.what() << " " << 42 << std::endl;
	}
	return 0;
}
